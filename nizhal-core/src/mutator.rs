//! The trait behind `#[mutator]`, and the erased entry that the runtime keeps.

use crate::{__private::BoxFuture, Actor, Ctx, CtxParts, Error, Principal, Result, ScopeValue, SqlType};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// What the arguments of a mutator or a job must be: read from JSON and written as JSON, described by JSON Schema. Written by `#[nizhal::args]`.
///
/// Not implemented for every type that could be: rustc would then speak of serde's traits, not of the attribute.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the arguments of a mutator or a job",
    label = "not annotated",
    note = "annotate the struct with #[nizhal::args]"
)]
pub trait Args: Serialize + DeserializeOwned + JsonSchema + Send + 'static {}

/// What a mutator answers when it applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The id the server gave, when the client proposed another.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server_id: Option<String>,
    /// Buckets to name to the client, beyond those that change capture finds.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub affected_buckets: Vec<String>,
}

impl Applied {
    /// Applied, nothing to tell.
    pub fn done() -> Self {
        Self::default()
    }

    /// Applied; the server keeps the row under `server_id`.
    pub fn id(server_id: impl Into<String>) -> Self {
        Self { server_id: Some(server_id.into()), ..Self::default() }
    }
}

/// What the runtime knows of a mutator.
#[derive(Clone, Copy, Debug)]
pub struct MutatorDesc {
    /// The name on the wire.
    pub name: &'static str,
    /// Tables that it may write beyond the actor's buckets.
    pub privileged: &'static [&'static str],
    /// Whether it runs on the server alone, and devices leave it to the server.
    pub server: bool,
    /// The rule of the bucket in which its mutations take effect in the order they were made, where they do.
    pub replay: Option<&'static str>,
    /// The doc comment.
    pub doc: &'static str,
}

impl MutatorDesc {
    /// One of which nothing is said.
    #[doc(hidden)]
    pub const NONE: Self = Self { name: "", privileged: &[], server: false, replay: None, doc: "" };
}

/// A function annotated with `#[mutator]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a mutator",
    label = "not annotated",
    note = "annotate the function with #[mutator]"
)]
pub trait Mutator: 'static {
    /// The claims it expects.
    type Actor: Actor;
    /// Its arguments.
    type Args: Args;
    /// Its description.
    const DESC: MutatorDesc;

    /// The type of the value that names its bucket, where it is replayed.
    const BUCKET: Option<SqlType> = None;

    /// The value that names the bucket in which its mutations take effect in the order they were made; `None` where it is not replayed.
    fn bucket(args: &Self::Args) -> Option<ScopeValue> {
        let _ = args;
        None
    }

    /// Runs it.
    fn run(ctx: &mut Ctx<Self::Actor>, args: Self::Args) -> BoxFuture<'_, Result<Applied>>;
}

/// The type beside a mutator's function, which describes and calls it: braces keep it out of the namespace of values, where the
/// function is.
#[doc(hidden)]
#[macro_export]
macro_rules! __mutator {
    (
        mutator: $vis:vis $Mutator:ident,
        actor: $Actor:ty,
        args: $Args:ty,
        desc: { $($desc:tt)* },
        $(bucket: |$bucket_args:ident| $bucket:expr,)?
        call: |$ctx:ident, $args:ident| $call:expr,
    ) => {
        #[doc(hidden)]
        #[allow(non_camel_case_types, dead_code)]
        $vis struct $Mutator {}
        impl $crate::Mutator for $Mutator {
            type Actor = $Actor;
            type Args = $Args;
            const DESC: $crate::MutatorDesc = $crate::MutatorDesc { $($desc)* ..$crate::MutatorDesc::NONE };
            $(
                const BUCKET: ::core::option::Option<$crate::SqlType> =
                    ::core::option::Option::Some($crate::__private::bucket_type(|$bucket_args: &$Args| $bucket));
                fn bucket($bucket_args: &$Args) -> ::core::option::Option<$crate::ScopeValue> {
                    ::core::option::Option::Some($bucket.value)
                }
            )?
            fn run($ctx: &mut $crate::Ctx<$Actor>, $args: $Args) -> $crate::__private::Running<'_> {
                $call
            }
        }
    };
}

/// What comes back from a call: the context's parts, and the outcome.
pub type Called = (CtxParts, Result<Applied>);

/// A mutator with its types erased, as the runtime keeps it.
#[derive(Clone, Copy)]
pub struct MutatorEntry {
    /// Its description.
    pub desc: MutatorDesc,
    /// The JSON Schema of its arguments.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads the arguments and runs it; arguments that do not fit touch nothing.
    pub call: for<'a> fn(CtxParts, &'a RawValue) -> BoxFuture<'a, Called>,
    /// What it takes to run it again later, where its mutations are replayed.
    pub replay: ReplayEntry,
}

/// How a mutation is kept so that it can run again.
#[derive(Clone, Copy)]
pub struct ReplayEntry {
    /// The type of the value that names its bucket, where it is replayed.
    pub sql: Option<SqlType>,
    /// The value that names its bucket; arguments that do not fit name none.
    pub bucket: fn(&RawValue) -> Result<Option<ScopeValue>>,
    /// The claims of who sent it, as JSON; `None` where they are of another type.
    pub claims: fn(&Principal) -> Option<String>,
    /// Who sent it, from those claims.
    pub principal: fn(&str) -> Result<Principal>,
}

impl ReplayEntry {
    /// That of a mutator which is not replayed.
    #[doc(hidden)]
    pub const NONE: Self = Self {
        sql: None,
        bucket: |_| Ok(None),
        claims: |_| None,
        principal: |_| Err(Error::internal("it is not replayed")),
    };
}

impl MutatorEntry {
    /// The entry of a mutator.
    pub fn of<M: Mutator>() -> Self {
        Self {
            desc: M::DESC,
            schema: |generator| generator.subschema_for::<M::Args>(),
            call: |parts, args| Box::pin(call::<M>(parts, args)),
            replay: ReplayEntry {
                sql: M::BUCKET,
                bucket: |args| {
                    let args: M::Args = parse(args.get()).map_err(Error::InvalidArgs)?;
                    Ok(M::bucket(&args))
                },
                claims: |principal| serde_json::to_string(principal.claims::<M::Actor>()?).ok(),
                principal: |claims| {
                    let claims: M::Actor = serde_json::from_str(claims).map_err(Error::internal)?;
                    Ok(Principal::new(claims, None))
                },
            },
        }
    }
}

impl std::fmt::Debug for MutatorEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MutatorEntry").field(&self.desc).finish()
    }
}

async fn call<M: Mutator>(parts: CtxParts, args: &RawValue) -> Called {
    if M::DESC.server && parts.server.is_none() {
        return (parts, Err(Error::ServerOnly(M::DESC.name)));
    }
    let args: M::Args = match parse(args.get()) {
        Ok(args) => args,
        Err(reason) => return (parts, Err(Error::InvalidArgs(reason))),
    };
    match Ctx::<M::Actor>::new(parts) {
        Ok(mut ctx) => {
            let result = M::run(&mut ctx, args).await;
            let (parts, error) = ctx.into_parts();
            (parts, error.map_or(result, Err))
        }
        Err((parts, error)) => (parts, Err(error)),
    }
}

/// Reads the arguments, or says which field does not fit and why.
pub(crate) fn parse<T: Args>(json: &str) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let text = error.inner().to_string();
        // Without serde's position, which means nothing inside a larger body.
        let text = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
        if path == "." { text.to_owned() } else { format!("{path}: {text}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decimal, NonEmpty, Positive};

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    struct OrderLine {
        amount: Positive,
        discount: Option<Decimal>,
    }

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    struct Order {
        client_id: NonEmpty,
        lines: Vec<OrderLine>,
    }
    impl Args for Order {}

    #[test]
    fn what_does_not_fit_is_named() {
        let reason = |json: &str| parse::<Order>(json).expect_err(json);
        assert_eq!(reason(r#"{"lines": []}"#), "missing field `clientId`");
        assert_eq!(reason(r#"{"clientId": " ", "lines": []}"#), "clientId: the text must not be empty");
        assert_eq!(
            reason(r#"{"clientId": "a", "lines": [{"amount": 1}, {"amount": -2}]}"#),
            "lines[1].amount: the number must be greater than 0, not -2"
        );
        assert_eq!(reason("7"), "invalid type: integer `7`, expected struct Order");
    }

    #[test]
    fn digits_are_kept_inside_structures() {
        let json = r#"{"clientId": "a", "lines": [{"amount": 1234567890123456.10, "discount": "0.3"}]}"#;
        let order: Order = parse(json).unwrap();
        assert_eq!(order.lines[0].amount.to_string(), "1234567890123456.10");
        assert_eq!(order.lines[0].discount.unwrap().to_string(), "0.3");
        assert_eq!(&*order.client_id, "a");
    }
}
