//! Prints an expansion as people write Rust.
//!
//! prettyplease leaves the arguments of a macro as they come. Those of ours are named, so they are printed here, one a line,
//! each with prettyplease's help.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, ExprClosure, Token, Type, Visibility};

/// The most columns of a line, as in this workspace's `rustfmt.toml`.
const WIDTH: usize = 120;
const INDENT: &str = "    ";
/// What stands for the arguments of a macro while prettyplease prints the rest.
const ARGUMENTS: &str = "__nizhal_arguments_";
/// What stands for the `!` of a macro.
const BANG: &str = "__nizhal_bang";

/// The tokens as rustfmt would have them, or as they are when they do not parse.
pub(crate) fn pretty(tokens: &TokenStream) -> String {
    let mut calls = Vec::new();
    let marked = mark(tokens.clone(), false, &mut calls);
    let Ok(file) = syn::parse2(marked) else { return tokens.to_string() };
    let text = calls
        .iter()
        .enumerate()
        .fold(prettyplease::unparse(&file), |text, (at, call)| text.replace(&format!("{ARGUMENTS}{at}_\n"), call));
    join_generics(&text.replace(BANG, "!"))
}

/// Puts marks in place of what prettyplease would leave as it is: the arguments of `a! { name: value, … }`, and within other code
/// the `!` of `a!(…)`, which then is a call.
fn mark(tokens: TokenStream, inside: bool, calls: &mut Vec<String>) -> TokenStream {
    let mut marked: Vec<TokenTree> = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let next = match tokens.peek() {
            Some(TokenTree::Group(group)) => Some(group.delimiter()),
            _ => None,
        };
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '!' && inside && next == Some(Delimiter::Parenthesis) => {
                if let Some(TokenTree::Ident(name)) = marked.pop() {
                    marked.push(format_ident!("{name}{BANG}").into());
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == '!' && next == Some(Delimiter::Brace) => {
                marked.push(punct.into());
                let Some(TokenTree::Group(group)) = tokens.next() else { continue };
                marked.push(match print_arguments(group.stream()) {
                    Some(call) => {
                        let mark = format_ident!("{ARGUMENTS}{}_", calls.len());
                        calls.push(call);
                        Group::new(Delimiter::Brace, quote!(#mark)).into()
                    }
                    None => group.into(),
                });
            }
            TokenTree::Group(group) => {
                marked.push(Group::new(group.delimiter(), mark(group.stream(), true, calls)).into())
            }
            other => marked.push(other),
        }
    }
    marked.into_iter().collect()
}

/// `::<One>`, which prettyplease spreads over three lines before a closure.
fn join_generics(text: &str) -> String {
    let mut parts = text.split("::<\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |joined, part| match part.split_once(",\n") {
        Some((one, rest)) if rest.trim_start().starts_with('>') && !one.contains('\n') => {
            format!("{joined}::<{}{}", one.trim(), rest.trim_start())
        }
        _ => format!("{joined}::<\n{part}"),
    })
}

/// `name: value,` a line; `None` when these are no named arguments.
fn print_arguments(tokens: TokenStream) -> Option<String> {
    let mut lines = Vec::new();
    for argument in split(tokens) {
        let (name, value) = named.parse2(argument).ok()?;
        let value = print_value(&value, &format!("{name}: ")).replace('\n', &format!("\n{INDENT}"));
        lines.push(format!("{name}: {value},\n"));
    }
    Some(lines.join(INDENT))
}

fn named(input: ParseStream) -> syn::Result<(Ident, TokenStream)> {
    let name = input.call(Ident::parse_any)?;
    input.parse::<Token![:]>()?;
    Ok((name, input.parse()?))
}

fn print_value(tokens: &TokenStream, before: &str) -> String {
    match only_group(tokens) {
        Some(group) if group.delimiter() == Delimiter::Bracket => print_list(group.stream()),
        Some(group) if group.delimiter() == Delimiter::Brace => print_filled(group.stream(), before),
        _ => print_plain(tokens),
    }
}

fn only_group(tokens: &TokenStream) -> Option<Group> {
    let mut tokens = tokens.clone().into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Group(group)), None) => Some(group),
        _ => None,
    }
}

/// `[One, Two]`, or a line for each of several columns.
fn print_list(tokens: TokenStream) -> String {
    let parts: Vec<String> = split(tokens).iter().map(print_element).collect();
    if !parts.iter().any(|part| part.contains('=')) {
        return format!("[{}]", parts.join(", "));
    }
    let lines: String =
        parts.iter().map(|part| format!("{INDENT}{},\n", part.replace('\n', &format!("\n{INDENT}")))).collect();
    format!("[\n{lines}]")
}

/// `field: Type = { … }`, or anything else.
fn print_element(tokens: &TokenStream) -> String {
    let column = |input: ParseStream| {
        let field = input.call(Ident::parse_any)?;
        input.parse::<Token![:]>()?;
        let ty: Type = input.parse()?;
        input.parse::<Token![=]>()?;
        Ok((field, ty, input.parse::<Group>()?))
    };
    match column.parse2(tokens.clone()) {
        Ok((field, ty, group)) => {
            let head = format!("{field}: {} = ", print_plain(&quote!(#ty)));
            let said = print_filled(group.stream(), &head);
            head + &said
        }
        Err(_) => print_plain(tokens),
    }
}

/// `{ name: value, … }` on a line, or on as few as hold it.
fn print_filled(tokens: TokenStream, before: &str) -> String {
    let part = |part: TokenStream| match named.parse2(part.clone()) {
        Ok((name, value)) => format!("{name}: {}", print_plain(&value)),
        Err(_) => print_plain(&part),
    };
    let parts: Vec<String> = split(tokens).into_iter().map(part).collect();
    let line = format!("{{ {} }}", parts.join(", "));
    if before.len() + line.len() + 2 * INDENT.len() <= WIDTH {
        return line;
    }
    let mut lines = vec![String::new()];
    for part in parts {
        let last =
            lines.last_mut().filter(|last| last.is_empty() || last.len() + part.len() + 3 * INDENT.len() < WIDTH);
        match last {
            Some(last) if last.is_empty() => last.push_str(&format!("{part},")),
            Some(last) => last.push_str(&format!(" {part},")),
            None => lines.push(format!("{part},")),
        }
    }
    format!("{{\n{INDENT}{}\n}}", lines.join(&format!("\n{INDENT}")))
}

/// A type, an expression or a name with its visibility, as prettyplease prints it.
fn print_plain(tokens: &TokenStream) -> String {
    let item = |item: TokenStream| syn::parse2(item).map(|file| prettyplease::unparse(&file)).ok();
    let within = |text: String, before: &str, after: &str| {
        let text = text.trim().strip_prefix(before)?.strip_suffix(after)?.trim().to_owned();
        Some(text)
    };
    let ty = || {
        let ty: Type = syn::parse2(tokens.clone()).ok()?;
        within(item(quote!(type T = #ty;))?, "type T =", ";")
    };
    let expr = || {
        let expr: Expr = syn::parse2(tokens.clone()).ok()?;
        if let Expr::Closure(ExprClosure { inputs, body, .. }) = &expr {
            let inputs: Vec<String> = inputs.iter().map(|input| print_plain(&quote!(#input))).collect();
            return Some(format!("|{}| {}", inputs.join(", "), print_plain(&quote!(#body))));
        }
        within(item(quote!(const X: T = #expr;))?, "const X: T =", ";")
    };
    let name = || {
        let read = |input: ParseStream| Ok((input.parse::<Visibility>()?, input.parse::<Ident>()?));
        let (vis, ident) = read.parse2(tokens.clone()).ok()?;
        Some(item(quote!(#vis struct #ident;))?.trim().trim_end_matches(';').replacen("struct ", "", 1))
    };
    ty().or_else(expr).or_else(name).unwrap_or_else(|| tokens.to_string())
}

/// What stands between the commas that are in no group, no `<…>` and no `|…|`.
fn split(tokens: TokenStream) -> Vec<TokenStream> {
    let (mut parts, mut part) = (Vec::new(), TokenStream::new());
    let (mut angles, mut in_pipes, mut before) = (0_usize, false, ' ');
    for token in tokens {
        let char = match &token {
            TokenTree::Punct(punct) => punct.as_char(),
            _ => ' ',
        };
        match char {
            '<' => angles += 1,
            '>' if before != '-' && before != '=' => angles = angles.saturating_sub(1),
            '|' => in_pipes = !in_pipes,
            ',' if angles == 0 && !in_pipes => {
                parts.push(std::mem::take(&mut part));
                before = ' ';
                continue;
            }
            _ => {}
        }
        before = char;
        part.extend([token]);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::pretty;

    fn printed(tokens: &str) -> String {
        pretty(&tokens.parse().unwrap())
    }

    #[test]
    fn named_arguments_stand_one_a_line() {
        let tokens = "a::b! { model: pub(crate) T, call: |a, b| f(a, b), list: [A, B], \
                      columns: [x: Json<Map<String, i64>> = { variant: X, name: \"x\" }], none: [] } struct S;";
        let wanted = "a::b! {\n    model: pub(crate) T,\n    call: |a, b| f(a, b),\n    list: [A, B],\n    columns: [\n        \
                      x: Json<Map<String, i64>> = { variant: X, name: \"x\" },\n    ],\n    none: [],\n}\nstruct S;\n";
        assert_eq!(printed(tokens), wanted);
    }

    #[test]
    fn what_is_too_long_for_a_line_fills_several() {
        let long = "x".repeat(60);
        let tokens = format!("a! {{ table: {{ name: \"{long}\", doc: \"{long}\", last: true }} }}");
        let wanted = format!(
            "a! {{\n    table: {{\n        name: \"{long}\",\n        doc: \"{long}\", last: true,\n    }},\n}}\n"
        );
        assert_eq!(printed(&tokens), wanted);
    }

    #[test]
    fn other_macros_and_what_does_not_parse_stay_as_they_are() {
        assert_eq!(printed("a! { b c }"), "a! {\n    b c\n}\n");
        assert_eq!(printed("struct"), "struct");
    }

    #[test]
    fn a_macro_among_code_is_printed_as_a_call_is() {
        assert_eq!(printed("fn f ( ) { g ( h ! ( < A as B > :: C ) ) }"), "fn f() {\n    g(h!(<A as B>::C))\n}\n");
    }
}
