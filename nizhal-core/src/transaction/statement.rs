//! The statements that app code may not run: they end the transaction under its owner, or change the connection for whoever has it next.

use std::{iter::Peekable, str::CharIndices};

/// Why a statement is not the app's to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misuse {
    /// It begins or ends a transaction.
    Transaction,
    /// What it does outlives the transaction.
    Session,
    /// It touches that by which a mutation's writes are judged.
    WriteSet,
}

/// A piece of SQL text that can matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A bare word, in lower case.
    Word(String),
    /// A quoted name or a text; which text it is matters only where a setting's locality is told.
    Quoted(String),
    /// Any other character.
    Other(char),
}

/// The savepoints that nested transactions make for themselves.
const OWN_SAVEPOINTS: &str = "_sqlx_savepoint_";
/// The locks that a session keeps after the transaction.
const SESSION_LOCKS: [&str; 4] =
    ["pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared"];
/// The tables in which SQLite keeps what a transaction wrote, and under which version.
const WRITE_SET_TABLES: [&str; 2] = ["_nizhal_touched", "_nizhal_control"];
/// The class of the settings in which Postgres keeps them; in a schema other than `public`, a suffix follows it.
const WRITE_SET_SETTINGS: &str = "nizhal";
/// The settings of Postgres that switch triggers off, and that keep the mutation's answer from being written.
const JUDGING_SETTINGS: [&str; 2] = ["session_replication_role", "transaction_read_only"];
/// The pragmas of SQLite that change what later statements on the connection mean, or whether they last.
const SETTING_PRAGMAS: [&str; 19] = [
    "busy_timeout",
    "case_sensitive_like",
    "defensive",
    "encoding",
    "foreign_keys",
    "ignore_check_constraints",
    "journal_mode",
    "legacy_alter_table",
    "locking_mode",
    "query_only",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "schema_version",
    "secure_delete",
    "synchronous",
    "temp_store",
    "trusted_schema",
    "writable_schema",
];

/// The first statement in this text that is not the app's to run: its words, and why.
pub(super) fn misuse(sql: &str) -> Option<(String, Misuse)> {
    tokens(sql).split(|token| *token == Token::Other(';')).find_map(judge)
}

/// Whether this makes or ends savepoints of the app's own.
pub(super) fn is_about_savepoints(sql: &str) -> bool {
    matches!(tokens(sql).first(), Some(Token::Word(word)) if ["savepoint", "release", "rollback"].contains(&word.as_str()))
}

fn judge(statement: &[Token]) -> Option<(String, Misuse)> {
    let own = statement.iter().find_map(|token| match token {
        Token::Word(name) | Token::Quoted(name) => WRITE_SET_TABLES.iter().find(|own| name.eq_ignore_ascii_case(own)),
        Token::Other(_) => None,
    });
    if let Some(own) = own {
        return Some(((*own).to_owned(), Misuse::WriteSet));
    }
    let word = |at: usize| match statement.get(at) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    let verb = match (word(0), word(1)) {
        ("prepare", "transaction") => "PREPARE TRANSACTION".to_owned(),
        ("start", _) => "START TRANSACTION".to_owned(),
        ("set", "local") => format!("SET LOCAL {}", name_of(&statement[2..])),
        ("declare", _) => "DECLARE … WITH HOLD".to_owned(),
        ("set", "session") => format!("SET SESSION {}", word(2).to_uppercase()).trim_end().to_owned(),
        ("set" | "reset" | "discard" | "pragma", name) => format!("{} {}", word(0), name).to_uppercase(),
        (verb, _) => verb.to_uppercase(),
    };
    let misuse = match word(0) {
        "begin" | "start" | "commit" | "end" | "abort" => Some(Misuse::Transaction),
        "prepare" if word(1) == "transaction" => Some(Misuse::Transaction),
        "rollback" => {
            let is_part = statement.iter().any(|token| *token == Token::Word("to".to_owned()));
            (!is_part || names_own_savepoint(statement)).then_some(Misuse::Transaction)
        }
        "savepoint" | "release" => names_own_savepoint(statement).then_some(Misuse::Transaction),
        "set" if word(1) == "transaction" && has_words(statement, ["read", "only"]) => Some(Misuse::WriteSet),
        "declare" if has_words(statement, ["with", "hold"]) => Some(Misuse::Session),
        "set" if word(1) == "local" => is_write_set_setting(&statement[2..]).then_some(Misuse::WriteSet),
        "set" => (!matches!(word(1), "constraints" | "transaction")).then_some(Misuse::Session),
        "do" => statement.iter().find_map(|token| match token {
            Token::Quoted(body) => misuse_within(body),
            _ => None,
        }),
        "reset" | "discard" | "prepare" | "deallocate" | "listen" | "unlisten" | "load" | "attach" | "detach" => {
            Some(Misuse::Session)
        }
        "pragma" => sets_pragma(statement).then_some(Misuse::Session),
        _ => None,
    };
    match misuse {
        Some(misuse) => Some((verb, misuse)),
        None => called(statement),
    }
}

/// What a block of PL/pgSQL does to the session. Its own `begin` and `end` are none of a transaction's.
fn misuse_within(body: &str) -> Option<Misuse> {
    let tokens = tokens(body);
    let begins = |token: &Token| match token {
        Token::Word(word) => ["begin", "then", "else", "loop"].contains(&word.as_str()),
        token => *token == Token::Other(';'),
    };
    let starts = tokens.iter().enumerate().filter(|(_, token)| begins(token)).map(|(at, _)| at + 1);
    let said = std::iter::once(0).chain(starts).filter_map(|at| tokens.get(at..)).find_map(|statement| {
        let end = statement.iter().position(|token| *token == Token::Other(';')).unwrap_or(statement.len());
        match (statement.first(), statement.get(1)) {
            (Some(Token::Word(verb)), Some(Token::Quoted(sql))) if verb == "execute" => {
                misuse(sql).map(|(_, misuse)| misuse)
            }
            (Some(Token::Word(verb)), _)
                if ["set", "reset", "discard", "listen", "unlisten", "load"].contains(&verb.as_str()) =>
            {
                judge(&statement[..end]).map(|(_, misuse)| misuse)
            }
            _ => None,
        }
    });
    said.or_else(|| called(&tokens).map(|(_, misuse)| misuse))
}

/// The setting that is named here.
fn name_of(setting: &[Token]) -> String {
    let parts = setting.iter().map_while(|token| match token {
        Token::Word(word) if word == "to" => None,
        Token::Word(part) | Token::Quoted(part) => Some(part.as_str()),
        Token::Other('.') => Some("."),
        Token::Other(_) => None,
    });
    parts.collect()
}

/// Whether a setting's name begins here that says what a transaction wrote, or whether triggers fire.
fn is_write_set_setting(name: &[Token]) -> bool {
    match name {
        [Token::Word(class) | Token::Quoted(class), Token::Other('.'), ..] => is_write_set_class(&class.to_lowercase()),
        [Token::Word(name) | Token::Quoted(name), ..] => {
            let name = name.to_lowercase();
            JUDGING_SETTINGS.contains(&name.as_str())
                || name.split_once('.').is_some_and(|(class, _)| is_write_set_class(class))
        }
        _ => false,
    }
}

fn is_write_set_class(class: &str) -> bool {
    class.strip_prefix(WRITE_SET_SETTINGS).is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('_'))
}

/// Whether these words stand beside each other.
fn has_words(statement: &[Token], words: [&str; 2]) -> bool {
    statement.windows(2).any(|pair| pair.iter().zip(words).all(|(token, word)| *token == Token::Word(word.to_owned())))
}

fn names_own_savepoint(statement: &[Token]) -> bool {
    statement.iter().any(|token| match token {
        Token::Word(name) | Token::Quoted(name) => name.to_lowercase().starts_with(OWN_SAVEPOINTS),
        Token::Other(_) => false,
    })
}

/// Whether a pragma sets such a setting, and does not only read it.
fn sets_pragma(statement: &[Token]) -> bool {
    let names = |name: &str| statement.iter().any(|token| *token == Token::Word(name.to_owned()));
    let sets = statement.iter().any(|token| matches!(token, Token::Other('=' | '(')));
    sets && SETTING_PRAGMAS.iter().any(|pragma| names(pragma))
}

/// A function in the statement whose effect outlives the transaction, or changes what is known of its writes.
fn called(statement: &[Token]) -> Option<(String, Misuse)> {
    statement.iter().enumerate().find_map(|(at, token)| {
        let name = match token {
            Token::Word(name) => name.as_str(),
            Token::Quoted(name) => name.as_str(),
            Token::Other(_) => return None,
        };
        if statement.get(at + 1) != Some(&Token::Other('(')) {
            return None;
        }
        let arguments = &statement[at + 2..];
        match name {
            "set_config" if is_write_set_setting(arguments) => {
                Some((format!("set_config('{}', …)", name_of(arguments)), Misuse::WriteSet))
            }
            "set_config" if !is_local(arguments) => Some(("set_config(…, false)".to_owned(), Misuse::Session)),
            name => SESSION_LOCKS.contains(&name).then(|| (name.to_owned(), Misuse::Session)),
        }
    })
}

/// Whether the last argument of a `set_config` says that it ends with the transaction: only where that is written out.
fn is_local(arguments: &[Token]) -> bool {
    let mut depth = 0_usize;
    let mut last = Vec::new();
    for token in arguments {
        match token {
            Token::Other('(') => depth += 1,
            Token::Other(')') if depth == 0 => break,
            Token::Other(')') => depth -= 1,
            Token::Other(',') if depth == 0 => {
                last.clear();
                continue;
            }
            _ => {}
        }
        last.push(token);
    }
    matches!(last.first(), Some(Token::Word(text) | Token::Quoted(text)) if matches!(text.as_str(), "true" | "t" | "on"))
}

fn tokens(sql: &str) -> Vec<Token> {
    let (mut tokens, mut chars) = (Vec::new(), sql.char_indices().peekable());
    while let Some((at, char)) = chars.next() {
        match char {
            '-' if next_is(&mut chars, '-') => while chars.next_if(|(_, char)| *char != '\n').is_some() {},
            '/' if next_is(&mut chars, '*') => skip_comment(&mut chars),
            '\'' => {
                let escapes =
                    matches!(tokens.last(), Some(Token::Word(word)) if word == "e") && sql[..at].ends_with(['e', 'E']);
                tokens.push(Token::Quoted(quoted(&mut chars, '\'', escapes)));
            }
            '"' | '`' => tokens.push(Token::Quoted(quoted(&mut chars, char, false))),
            '$' => {
                if let Some(end) = dollar_quoted(&sql[at..]) {
                    while chars.next_if(|(next, _)| *next < at + end).is_some() {}
                    let text = &sql[at..at + end];
                    let tag = text[1..].find('$').map_or(0, |tag| tag + 2);
                    let body = text.get(tag..text.len() - tag).unwrap_or_default();
                    tokens.push(Token::Quoted(body.to_owned()));
                }
            }
            char if char.is_alphabetic() || char == '_' => {
                let mut word: String = char.to_lowercase().collect();
                while let Some((_, char)) = chars.next_if(|(_, char)| char.is_alphanumeric() || "_$".contains(*char)) {
                    word.extend(char.to_lowercase());
                }
                tokens.push(Token::Word(word));
            }
            char if char.is_whitespace() => {}
            char => tokens.push(Token::Other(char)),
        }
    }
    tokens
}

fn next_is(chars: &mut Peekable<CharIndices<'_>>, wanted: char) -> bool {
    chars.next_if(|(_, char)| *char == wanted).is_some()
}

/// Postgres nests comments; in SQLite the first end ends all, and what follows it there is skipped here only where it looks like
/// one that was nested.
fn skip_comment(chars: &mut Peekable<CharIndices<'_>>) {
    let mut depth = 1_usize;
    while depth > 0 {
        match chars.next() {
            Some((_, '*')) if next_is(chars, '/') => depth -= 1,
            Some((_, '/')) if next_is(chars, '*') => depth += 1,
            Some(_) => {}
            None => return,
        }
    }
}

fn quoted(chars: &mut Peekable<CharIndices<'_>>, quote: char, escapes: bool) -> String {
    let mut text = String::new();
    while let Some((_, char)) = chars.next() {
        match char {
            '\\' if escapes => {
                chars.next();
            }
            char if char == quote => {
                if !next_is(chars, quote) {
                    break;
                }
                text.push(quote);
            }
            char => text.push(char),
        }
    }
    text
}

/// The length of a text between dollar signs that begins here, with its quotes; none where it is a parameter.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = text[1..].find('$')? + 2;
    let tag = &text[..tag_end];
    let name = &tag[1..tag_end - 1];
    let is_tag = !name.starts_with(|char: char| char.is_ascii_digit())
        && name.chars().all(|char| char.is_alphanumeric() || char == '_');
    if !is_tag {
        return None;
    }
    Some(text[tag_end..].find(tag).map_or(text.len(), |end| tag_end + end + tag_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv39_statements_that_end_a_transaction_are_found() {
        for (sql, verb) in [
            ("commit", "COMMIT"),
            ("  /* a /* b */ */ -- c\n COMMIT work;", "COMMIT"),
            ("insert into t values (1); commit; begin", "COMMIT"),
            ("begin immediate", "BEGIN"),
            ("start transaction isolation level serializable", "START TRANSACTION"),
            ("end", "END"),
            ("abort", "ABORT"),
            ("rollback", "ROLLBACK"),
            ("rollback and chain", "ROLLBACK"),
            ("rollback to savepoint _sqlx_savepoint_1", "ROLLBACK"),
            ("release \"_SQLX_savepoint_1\"", "RELEASE"),
            ("prepare transaction 'x'", "PREPARE TRANSACTION"),
            ("select $1; commit", "COMMIT"),
            ("select E'\\''; commit", "COMMIT"),
            ("select 'it''s'; commit", "COMMIT"),
            ("select $tag$ ; $tag$; commit", "COMMIT"),
        ] {
            assert_eq!(misuse(sql), Some((verb.to_owned(), Misuse::Transaction)), "{sql}");
        }
    }

    #[test]
    fn inv39_statements_that_outlive_a_transaction_are_found() {
        for sql in [
            "set search_path = x",
            "SET SESSION statement_timeout = 0",
            "set session authorization postgres",
            "set role other",
            "reset all",
            "reset search_path",
            "discard all",
            "deallocate all",
            "prepare p as select 1",
            "listen x",
            "select set_config('a.b', 'c', false)",
            "select pg_catalog.set_config('a.b', coalesce('x', 'y'), FALSE)",
            "select set_config($1, $2, $3)",
            "with x as (select set_config('a.b', 'true', false)) select 1",
            "select pg_advisory_lock(7)",
            "pragma foreign_keys = off",
            "pragma recursive_triggers(0)",
            "attach 'x' as y",
            "declare c cursor with hold for select 1",
            "DECLARE c SCROLL CURSOR WITH /* */ HOLD FOR SELECT 1",
            "do $$ begin execute 'declare c cursor with hold for select 1'; end $$",
            "do $$ begin execute 'reset all'; end $$",
            "do $x$ begin perform set_config('a.b', 'c', false); end $x$",
            "do 'begin set search_path = x; end'",
            "do $$ begin if true then listen x; end if; end $$",
        ] {
            assert!(matches!(misuse(sql), Some((_, Misuse::Session))), "{sql}: {:?}", misuse(sql));
        }
    }

    #[test]
    fn inv18_statements_that_touch_what_was_noted_are_found() {
        for sql in [
            "delete from _nizhal_touched",
            "update \"_nizhal_control\" set txn = null",
            "set local nizhal.touched = ''",
            "set local session_replication_role = replica",
            "set transaction read only",
            "set transaction isolation level serializable, read only",
            "set local transaction_read_only = on",
            "select set_config('transaction_read_only', 'on', true)",
            "select set_config('nizhal.touched', '', true)",
            "set local nizhal_0123456789ab.touched = ''",
            "set local \"nizhal_0123456789ab\".touched = ''",
            "select set_config('Nizhal_0123456789ab.touched', '', true)",
            "select set_config('session_replication_role', 'replica', true)",
            "do $$ begin perform set_config('session_replication_role', 'replica', true); end $$",
        ] {
            assert!(matches!(misuse(sql), Some((_, Misuse::WriteSet))), "{sql}: {:?}", misuse(sql));
        }
    }

    #[test]
    fn a_setting_is_named() {
        let named = |sql: &str| misuse(sql).map(|(verb, _)| verb);
        for (sql, wanted) in [
            ("set local session_replication_role = replica", "SET LOCAL session_replication_role"),
            ("set local nizhal.touched to ''", "SET LOCAL nizhal.touched"),
            ("select set_config('nizhal.touched', '', true)", "set_config('nizhal.touched', …)"),
        ] {
            assert_eq!(named(sql).as_deref(), Some(wanted), "{sql}");
        }
    }

    #[test]
    fn statements_of_an_app_pass() {
        for sql in [
            "select * from begins where commit = 'commit; rollback'",
            "insert into t (\"commit\") values ('; commit') -- ; commit",
            "insert into t values ($1, $2); select case when a then b end from t",
            "savepoint s",
            "rollback to savepoint s",
            "rollback transaction to s",
            "release s",
            "set local lock_timeout = '1s'",
            "set constraints all deferred",
            "set transaction isolation level serializable",
            "declare c cursor for select 1",
            "declare c cursor without hold for select 1",
            "select set_config('a.b', $1, true)",
            "select pg_advisory_xact_lock(7)",
            "do $$ begin raise exception 'x'; commit; end $$",
            "do $$ begin set local lock_timeout = '1s'; perform set_config('a.b', 'c', true); end $$",
            "select * from nizhal.customers where _nizhal_version > 3",
            "update t set a = 1 where b = 2",
            "pragma table_info(t)",
            "pragma defer_foreign_keys = on",
            "pragma foreign_keys",
            "select a[1], b -> 'c' from t where d ? 'e'",
            "",
        ] {
            assert_eq!(misuse(sql), None, "{sql}");
        }
    }
}
