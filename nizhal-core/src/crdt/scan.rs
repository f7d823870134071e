//! A strict reader of Yjs' v1 update format: what it lets through, yrs can hold without surprises.
//!
//! yrs trusts lengths and clocks, recurses into values, and keeps some contents only nearly; a hostile update could
//! make it reserve gigabytes or overflow the stack, which no `catch_unwind` catches. So every byte is looked at first.

use super::nest::{Id, Nest};
use super::{Kind, MAX_STRUCTS};

/// How deeply a plain value inside a map may be nested.
const MAX_VALUE_DEPTH: usize = 64;
/// Clocks are `u32` in yrs, and some differences of them `i32`.
const MAX_CLOCK: u64 = i32::MAX as u64;
/// Client ids have 53 bits, as many as a JavaScript number holds.
const MAX_CLIENT: u64 = (1 << 53) - 1;

/// Why bytes are no update.
type Refused = String;

/// What a column takes, as far as it is known already.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected<'a> {
    /// Any update.
    Anything,
    /// A document of this kind, whatever its one root is called.
    Document(Kind),
    /// An update of the root of this name, for a document of this kind.
    Root(Kind, &'a str),
}

impl<'a> Expected<'a> {
    fn kind(self) -> Option<Kind> {
        match self {
            Self::Anything => None,
            Self::Document(kind) | Self::Root(kind, _) => Some(kind),
        }
    }
}

/// Reads one update; answers the name of the root that it writes to, if it is for a document and names one.
pub(super) fn scan<'a>(bytes: &'a [u8], expected: Expected<'_>, nest: &mut Nest) -> Result<Option<&'a str>, Refused> {
    let mut reader = Reader { bytes, at: 0, structs: 0, expected, kind: expected.kind(), root: None, nest };
    reader.structs()?;
    reader.delete_set()?;
    if reader.at == bytes.len() { Ok(reader.root) } else { Err("there are bytes after its end".to_owned()) }
}

struct Reader<'a, 'n> {
    bytes: &'a [u8],
    at: usize,
    structs: usize,
    expected: Expected<'n>,
    kind: Option<Kind>,
    /// The root that was named.
    root: Option<&'a str>,
    nest: &'n mut Nest,
}

impl<'a> Reader<'a, '_> {
    fn structs(&mut self) -> Result<(), Refused> {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..self.var()? {
            let structs = self.var()?;
            let client = self.client()?;
            if !seen.insert(client) {
                return Err(format!("client {client} comes twice"));
            }
            let mut clock = self.clock()?;
            for _ in 0..structs {
                self.structs += 1;
                if self.structs > MAX_STRUCTS {
                    return Err(format!("it has more than {MAX_STRUCTS} pieces"));
                }
                let len = self.block((client, clock))?;
                clock += len;
                if len == 0 || clock > MAX_CLOCK {
                    return Err("a clock is out of range".to_owned());
                }
            }
        }
        Ok(())
    }

    /// One struct; answers how many clock ticks it takes.
    fn block(&mut self, id: Id) -> Result<u64, Refused> {
        let (has_origin, has_right, has_sub) = (0x80, 0x40, 0x20);
        let info = self.byte()?;
        // Collected garbage, and a gap.
        if matches!(info, 0 | 10) {
            return self.clock();
        }
        let origin = if info & has_origin != 0 { Some(self.before(id)?) } else { None };
        let right = if info & has_right != 0 { Some(self.before(id)?) } else { None };
        let mut parent = None;
        if origin.is_none() && right.is_none() {
            if self.var()? == 1 {
                let root = self.string()?;
                self.root(root)?;
            } else {
                parent = Some(self.before(id)?);
                if self.kind == Some(Kind::Text) {
                    return Err("a text holds no nested types".to_owned());
                }
            }
            if info & has_sub != 0 {
                self.string()?;
            }
        }
        let len = self.content(info & 0x1f)?;
        self.nest.add(id, len, [parent, origin, right], info & 0x1f == 7);
        Ok(len)
    }

    fn root(&mut self, root: &'a str) -> Result<(), Refused> {
        let (kind, wanted) = match self.expected {
            Expected::Anything => return Ok(()),
            Expected::Document(kind) => (kind, self.root.unwrap_or(root)),
            Expected::Root(kind, wanted) => (kind, wanted),
        };
        if root != wanted {
            let (getter, named) = (kind.getter(), root.escape_debug());
            let wanted = wanted.escape_debug();
            return Err(format!(
                "it writes to the type named \"{named}\", and the column keeps `doc.{getter}(\"{wanted}\")` alone"
            ));
        }
        self.root = Some(root);
        Ok(())
    }

    fn content(&mut self, content: u8) -> Result<u64, Refused> {
        match content {
            1 => self.clock(),
            3 => self.slice().map(|_| 1),
            4 => Ok(self.string()?.encode_utf16().count() as u64),
            5 => self.string().map(|_| 1),
            6 => {
                self.string()?;
                self.string().map(|_| 1)
            }
            7 if self.kind == Some(Kind::Text) => Err("a text holds no nested types".to_owned()),
            7 => match self.byte()? {
                0..=2 => Ok(1),
                _ => Err("only Y.Array, Y.Map and Y.Text can be nested in a map".to_owned()),
            },
            8 => {
                let values = self.var()?;
                for _ in 0..values {
                    self.value(0)?;
                }
                Ok(values)
            }
            2 => Err("it was written by a Yjs older than version 13".to_owned()),
            9 => Err("documents within documents are not kept".to_owned()),
            other => Err(format!("there is no content of kind {other}")),
        }
    }

    /// A plain value.
    fn value(&mut self, depth: usize) -> Result<(), Refused> {
        if depth > MAX_VALUE_DEPTH {
            return Err(format!("a value is nested more than {MAX_VALUE_DEPTH} deep"));
        }
        match self.byte()? {
            // undefined, null, false, true
            127 | 126 | 121 | 120 => {}
            125 => {
                // A signed number: its first byte has a sign, but ends like any other.
                self.var()?;
            }
            124 => drop(self.take(4)?),
            123 => drop(self.take(8)?),
            122 => return Err("it holds a BigInt, which would lose digits: write it as text".to_owned()),
            119 => drop(self.string()?),
            118 => {
                for _ in 0..self.var()? {
                    self.string()?;
                    self.value(depth + 1)?;
                }
            }
            117 => {
                for _ in 0..self.var()? {
                    self.value(depth + 1)?;
                }
            }
            116 => drop(self.slice()?),
            other => return Err(format!("there is no value of kind {other}")),
        }
        Ok(())
    }

    fn delete_set(&mut self) -> Result<(), Refused> {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..self.var()? {
            let client = self.client()?;
            if !seen.insert(client) {
                return Err(format!("deletions of client {client} come twice"));
            }
            let mut end = 0;
            for _ in 0..self.var()? {
                let (clock, len) = (self.clock()?, self.clock()?);
                if len == 0 || clock < end || clock + len > MAX_CLOCK {
                    return Err("deletions are not in order".to_owned());
                }
                end = clock + len;
            }
        }
        Ok(())
    }

    fn client(&mut self) -> Result<u64, Refused> {
        match self.var()? {
            client if client <= MAX_CLIENT => Ok(client),
            client => Err(format!("a client id has 53 bits, not as {client}")),
        }
    }

    fn clock(&mut self) -> Result<u64, Refused> {
        match self.var()? {
            clock if clock <= MAX_CLOCK => Ok(clock),
            _ => Err("a clock is out of range".to_owned()),
        }
    }

    /// The id of something that `id` builds on, and so is older when its own client wrote it.
    fn before(&mut self, id: Id) -> Result<Id, Refused> {
        let other = (self.client()?, self.clock()?);
        if other.0 == id.0 && other.1 >= id.1 {
            return Err("a change builds on a later one".to_owned());
        }
        Ok(other)
    }

    fn var(&mut self) -> Result<u64, Refused> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number has too many digits".to_owned())
    }

    fn byte(&mut self) -> Result<u8, Refused> {
        Ok(self.take(1)?[0])
    }

    fn string(&mut self) -> Result<&'a str, Refused> {
        str::from_utf8(self.slice()?).map_err(|_| "a text is not UTF-8".to_owned())
    }

    fn slice(&mut self) -> Result<&'a [u8], Refused> {
        let len = self.var()?;
        self.take(usize::try_from(len).map_err(|_| cut_off())?)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Refused> {
        // No length is believed before the bytes are there; and each thing that is counted has at least one.
        let end = self.at.checked_add(len).ok_or_else(cut_off)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(cut_off)?;
        self.at += len;
        Ok(taken)
    }
}

fn cut_off() -> Refused {
    "it ends too early".to_owned()
}
