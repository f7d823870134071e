//! Rule sets as random source text, with what they mean beside it; the oracle of `tests/` reads them too.

pub(crate) mod condition;
pub(crate) mod generate;
pub(crate) mod random;
