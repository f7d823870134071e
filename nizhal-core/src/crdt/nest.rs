//! How deeply shared types stand in one another: yrs and Yjs recurse into them when they are deleted or read.

use std::collections::{BTreeMap, HashMap, HashSet};

/// An element's name: who wrote it, and as which of theirs.
pub(super) type Id = (u64, u64);

/// How deeply shared types may be nested in a map.
const MAX_NESTING: usize = 32;

/// The structs of a document and of what is merged into it, with what tells their parents.
#[derive(Default)]
pub(super) struct Nest {
    items: BTreeMap<Id, Item>,
    types: Vec<Id>,
}

struct Item {
    len: u64,
    /// The parent, the left and the right neighbour: without a parent of its own, an item has a neighbour's.
    links: [Option<Id>; 3],
}

impl Nest {
    /// Notes a struct. What is noted already stays, as it does in the document: a second telling may be a lie.
    pub(super) fn add(&mut self, (client, start): Id, len: u64, links: [Option<Id>; 3], is_type: bool) {
        let (mut at, end) = (start, start + len);
        while at < end {
            if let Some(known) = self.at((client, at)) {
                at = known.1 + self.items[&known].len;
                continue;
            }
            let next = self.items.range((client, at)..(client, end)).next().map_or(end, |(id, _)| id.1);
            let links = if at == start { links } else { [None, Some((client, at - 1)), links[2]] };
            self.items.insert((client, at), Item { len: next - at, links });
            if is_type {
                self.types.push((client, at));
            }
            at = next;
        }
    }

    /// Whether no type stands too deep. What is not there yet counts for nothing: it is asked again when it comes.
    pub(super) fn is_shallow(&self) -> bool {
        let mut depths = HashMap::new();
        self.types.iter().all(|&id| self.depth(id, &mut depths) <= MAX_NESTING)
    }

    /// The depth of an item, at least; never by recursion, since chains are as long as texts.
    fn depth(&self, id: Id, depths: &mut HashMap<Id, usize>) -> usize {
        let (mut stack, mut open) = (vec![id], HashSet::from([id]));
        while let Some(&top) = stack.last() {
            if depths.contains_key(&top) {
                stack.pop();
                open.remove(&top);
                continue;
            }
            let Some(links) = self.items.get(&top).map(|item| item.links.map(|link| link.and_then(|id| self.at(id))))
            else {
                depths.insert(top, 0);
                continue;
            };
            // Open already means a circle, which is never integrated.
            let unknown = links.iter().flatten().find(|link| !depths.contains_key(*link) && !open.contains(link));
            if let Some(&unknown) = unknown {
                stack.push(unknown);
                open.insert(unknown);
                continue;
            }
            let known = |link: Option<Id>| link.and_then(|link| depths.get(&link)).copied().unwrap_or(0);
            let [parent, left, right] = links;
            depths.insert(top, (known(parent) + 1).max(known(left)).max(known(right)));
        }
        depths[&id]
    }

    /// The item that this element is part of.
    fn at(&self, id: Id) -> Option<Id> {
        let (&found, item) = self.items.range(..=id).next_back()?;
        (found.0 == id.0 && id.1 < found.1 + item.len).then_some(found)
    }
}
