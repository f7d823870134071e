//! Collects the mistakes of one item, so that they are reported together.

use crate::Code;
use proc_macro2::Span;
use quote::ToTokens;
use std::{cell::RefCell, fmt::Display};

/// The mistakes of one item; it panics when dropped unread, so that none is lost in silence.
///
/// ```
/// let errors = nizhal_syntax::Errors::new();
/// errors.push_span(nizhal_syntax::Code::NoKey, proc_macro2::Span::call_site(), "a table needs a key", "mark a field");
/// assert_eq!(errors.finish().unwrap_err().to_string(), "[NZ103] a table needs a key\n\nhelp: mark a field");
/// ```
#[derive(Debug)]
pub struct Errors {
    list: RefCell<Option<Vec<syn::Error>>>,
}

impl Errors {
    /// No mistakes yet.
    #[must_use]
    pub fn new() -> Self {
        Self { list: RefCell::new(Some(Vec::new())) }
    }

    /// Adds a mistake at a piece of syntax: what is wrong, then what to write.
    pub fn push(&self, code: Code, at: impl ToTokens, what: impl Display, help: impl Display) {
        // Not `Error::new(at.span())`: on stable Rust that span is the first token alone.
        self.syntax(syn::Error::new_spanned(at, message(code, what, help)));
    }

    /// Adds a mistake at a single span.
    pub fn push_span(&self, code: Code, span: Span, what: impl Display, help: impl Display) {
        self.syntax(code.error(span, what, help));
    }

    /// Adds an error of the Rust grammar.
    pub fn syntax(&self, error: syn::Error) {
        self.list.borrow_mut().get_or_insert_default().extend(error);
    }

    /// The number of mistakes so far.
    pub fn count(&self) -> usize {
        self.list.borrow().as_ref().map_or(0, Vec::len)
    }

    /// Reads the mistakes, in the order of the source.
    ///
    /// # Errors
    /// All of them, combined into one error.
    pub fn finish(self) -> syn::Result<()> {
        let mut list = self.list.take().unwrap_or_default();
        list.sort_by_key(|error| {
            let start = error.span().start();
            (start.line, start.column)
        });
        let mut list = list.into_iter();
        let Some(mut first) = list.next() else { return Ok(()) };
        list.for_each(|error| first.combine(error));
        Err(first)
    }
}

impl Default for Errors {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.list.borrow().is_some() {
            panic!("mistakes were collected but never reported");
        }
    }
}

impl Code {
    /// A mistake that a parser gives back: what is wrong, then what to write.
    pub fn error(self, span: Span, what: impl Display, help: impl Display) -> syn::Error {
        syn::Error::new(span, message(self, what, help))
    }

    /// The same at a piece of syntax, from its first token to its last.
    pub fn error_at(self, at: impl ToTokens, what: impl Display, help: impl Display) -> syn::Error {
        syn::Error::new_spanned(at, message(self, what, help))
    }
}

fn message(code: Code, what: impl Display, help: impl Display) -> String {
    format!("[{code}] {what}\n\nhelp: {help}")
}
