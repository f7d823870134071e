//! Jobs.

use crate::{mistakes, tokens};
use nizhal_syntax::Errors;
use nizhal_syntax::ast::parse_job;
use nizhal_syntax::check::check_job;
use nizhal_syntax::model::{Job, lower_job};
use quote::ToTokens;

fn read(attr: &str, item: &str) -> (Option<Job>, Vec<String>) {
    let errors = Errors::new();
    let job = parse_job(tokens(attr), tokens(item), &errors).map(|ast| lower_job(ast, &errors));
    if let Some(job) = &job {
        check_job(job, &errors);
    }
    (job, mistakes(errors))
}

#[test]
fn name_arguments_and_attempts_are_found() {
    let source =
        "/// Reminds.\n async fn sms_reminder(ctx: &mut nizhal::JobCtx, Sms { id }: app::Sms) -> Result<()> {}";
    let (job, mistakes) = read("", source);
    let job = job.unwrap();
    assert_eq!(mistakes, [""; 0]);
    assert_eq!((job.function.name.value().as_str(), job.function.doc.as_str()), ("smsReminder", "Reminds."));
    assert_eq!(job.function.args.to_token_stream().to_string(), "app :: Sms");
    assert_eq!(job.attempts.base10_digits(), "8");
    let (job, mistakes) = read("name = \"sms-reminder\", attempts = 3", source);
    let job = job.unwrap();
    assert_eq!(mistakes, [""; 0]);
    assert_eq!((job.function.name.value().as_str(), job.attempts.base10_digits()), ("sms-reminder", "3"));
}

#[test]
fn mistakes_are_named() {
    let good = "async fn f(ctx: &mut JobCtx, a: A) -> Result<()> {}";
    for (attr, item, wanted) in [
        ("", "fn f(ctx: &mut JobCtx, a: A) -> Result<()> {}", "a job must be async"),
        ("", "async fn f(ctx: JobCtx, a: A) -> Result<()> {}", "a job's first argument is its context"),
        ("", "async fn f(ctx: &JobCtx, a: A) -> Result<()> {}", "a job's first argument is its context"),
        ("", "async fn f(ctx: &mut Ctx<C>, a: A) -> Result<()> {}", "a job has no actor: it is the server's own work"),
        ("", "async fn f() -> Result<()> {}", "a job takes a context and its arguments"),
        ("", "async fn f(ctx: &mut JobCtx) -> Result<()> {}", "this job takes no arguments"),
        ("", "async fn f(ctx: &mut JobCtx, a: &A) -> Result<()> {}", "a job owns its arguments"),
        (
            "",
            "async fn f(ctx: &mut JobCtx, a: A, b: B) -> Result<()> {}",
            "a job takes one argument beside its context",
        ),
        ("", "async fn f(&self) -> Result<()> {}", "a job is a free function: it has no `self`"),
        ("", "async fn f(ctx: &mut JobCtx, a: A) {}", "this job returns nothing"),
        ("", "async fn f(ctx: &mut JobCtx, a: A) -> () {}", "a job may fail, so it returns a result"),
        ("", "async fn f(ctx: &mut JobCtx, a: A) -> Result<Applied> {}", "a job has nobody to answer"),
        ("", "async fn f<'a>(ctx: &'a mut JobCtx, a: A) -> Result<()> {}", "a job has no lifetimes of its own"),
        ("name = \"\"", good, "a job's name cannot be empty"),
        ("attempts", good, "`attempts` needs a whole number"),
        ("attempts = \"3\"", good, "this is not a whole number"),
        ("attempts = 0", good, "a job is tried from 1 to 1000 times"),
        ("server", good, "`#[nizhal::job]` has no word `server`"),
        ("", "struct F;", "a job is a function"),
    ] {
        assert_eq!(read(attr, item).1, [wanted], "{attr} {item}");
    }
}
