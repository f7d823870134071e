//! Judges a job's signature.

use super::function::check_function;
use crate::model::{Job, job::JOB, ty};
use crate::{Code, Errors};
use syn::{ReturnType, Type};

/// Reports what is wrong with a job.
pub fn check_job(job: &Job, errors: &Errors) {
    let name = &job.function.name;
    check_function(&JOB, &job.function, errors);
    check_output(job, errors);
    if name.value().trim().is_empty() {
        errors.push(Code::JobName, name, "a job's name cannot be empty", "write a name, or take `name` away");
    }
    if !job.attempts.base10_parse::<u16>().is_ok_and(|attempts| (1..=1000).contains(&attempts)) {
        errors.push(Code::JobAttempts, &job.attempts, "a job is tried from 1 to 1000 times", "write `attempts = 8`");
    }
}

fn check_output(job: &Job, errors: &Errors) {
    let help = "write `Result<()>`, and `Ok(())` at the end";
    match &job.function.item.sig.output {
        ReturnType::Default => {
            errors.push(
                Code::JobReturnsNothing,
                &job.function.item.sig.ident,
                "this job returns nothing",
                "write `-> Result<()>` before the body",
            );
        }
        ReturnType::Type(_, ty) => {
            let applied = ty::argument_of(ty, "Result").and_then(ty::name).is_some_and(|name| name == "Applied");
            if applied || ty::name(ty).is_some_and(|name| name == "Applied") {
                errors.push(Code::JobAnswers, ty, "a job has nobody to answer", help);
            } else if matches!(&**ty, Type::Tuple(_)) {
                errors.push(Code::JobNoResult, ty, "a job may fail, so it returns a result", help);
            }
        }
    }
}
