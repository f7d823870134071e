//! What a case is about: random tables, memberships, rules and actors, as plain data that both sides read.

use super::source::random::Random;

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    /// As wide as the shape says.
    Int,
    Uuid,
    Bool,
    /// Always 64 bits.
    Long,
    /// A reference to a blob; as text, its hash.
    Blob,
}

/// How wide [`Type::Int`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Two,
    Four,
    Eight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Text(&'static str),
    Int(i64),
    Uuid(u128),
    Bool(bool),
    /// The blob whose hash is this digit, over and over.
    Blob(char),
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) ty: Type,
    pub(super) nullable: bool,
    /// Devices never see it.
    pub(super) private: bool,
    /// What it may hold, NULL too where it may be.
    pub(super) values: Vec<Value>,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) key: Vec<usize>,
    /// The columns that move a row between buckets, or say which bucket a membership gives.
    pub(super) places: Vec<usize>,
    /// The columns that conditions look at.
    pub(super) judged: Vec<usize>,
}

/// `column = value` or `column <> value`.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) column: usize,
    pub(super) negated: bool,
    pub(super) value: Value,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    User,
    Owner,
    Number,
    Id,
    Region,
    /// Not every token says it.
    Shop,
}

/// What an actor has, or has several of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// The parameter at this place of the rule.
    Param(usize),
    Claim(Claim),
}

/// A condition as a rule writes it.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Is(Filter),
    Bound { column: usize, to: Bound },
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

impl Condition {
    /// The columns that are compared with the actor's claims.
    pub(super) fn claims(&self) -> Vec<(usize, Claim)> {
        match self {
            Self::Bound { column, to: Bound::Claim(claim) } => vec![(*column, *claim)],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::claims).collect(),
            Self::Is(_) | Self::Bound { .. } => Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    Claim(Claim),
    Member { table: usize, column: usize, condition: Condition },
}

#[derive(Clone, Debug)]
pub(super) struct Param {
    pub(super) ty: Type,
    pub(super) source: Source,
}

/// A table in a rule; `scope` has a column for each parameter.
#[derive(Clone, Debug)]
pub(super) struct Synced {
    pub(super) table: usize,
    pub(super) scope: Vec<usize>,
    /// All that must hold, the scope too.
    pub(super) condition: Condition,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) public: bool,
    pub(super) params: Vec<Param>,
    pub(super) tables: Vec<Synced>,
}

#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) user: &'static str,
    pub(super) owner: &'static str,
    pub(super) number: i64,
    pub(super) id: u128,
    pub(super) region: &'static str,
    pub(super) shop: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The rules' source text, where they were written; else they are made of this shape.
    pub(super) written: Option<String>,
    pub(super) width: Width,
    /// Data first, then memberships.
    pub(super) tables: Vec<Table>,
    /// How many of the tables hold data.
    pub(super) data: usize,
    pub(super) rules: Vec<Rule>,
    pub(super) actors: Vec<Actor>,
}

/// `7` is a text and a number: equal bucket names in two rules.
pub(super) const TEXTS: [&str; 4] = ["7", "a", "b/c'\"", "ü %2F"];
pub(super) const USERS: [&str; 3] = ["ann", "bob", "7"];
const STATES: [&str; 3] = ["open", "shut", "o'pen"];
const UUIDS: [u128; 3] = [7, 0x0193_5a00_0000_7000_8000_0000_0000_0abc, u128::MAX];
/// The blobs that are stored.
pub(super) const BLOBS: [char; 3] = ['1', '2', '3'];
/// The column that every write gives a new number, so that no two images of a row are equal.
pub(super) const STAMP: &str = "v";
/// Its place in every table.
pub(super) const STAMP_AT: usize = 8;

impl Shape {
    pub(super) fn random(random: &mut Random) -> Self {
        let width = *random.pick(&[Width::Two, Width::Four, Width::Eight]);
        let data = 1 + random.below(3);
        let mut tables: Vec<Table> = (0..data).map(|at| data_table(random, width, ["t0", "t1", "t2"][at])).collect();
        for name in ["m0", "m1"].iter().take(1 + random.below(2)) {
            tables.push(member_table(random, width, name));
        }
        let owners = ["o1", "o2"];
        let actor = |random: &mut Random, user| Actor {
            user,
            owner: random.pick::<&str>(&owners),
            number: *random.pick(&ints(width)),
            id: *random.pick(&UUIDS),
            region: "",
            shop: None,
        };
        let actors = USERS[..2 + random.below(2)].iter().map(|user| actor(random, *user)).collect();
        let mut shape = Self { written: None, width, tables, data, rules: Vec::new(), actors };
        for name in ["mine", "ours", "theirs"].iter().take(1 + random.below(3)) {
            let rule = shape.rule(random, name);
            shape.rules.push(rule);
        }
        shape
    }

    fn rule(&self, random: &mut Random, name: &'static str) -> Rule {
        loop {
            let params: Vec<Param> = (0..if random.one_in(4) { 2 } else { 1 }).map(|_| self.param(random)).collect();
            let mut tables: Vec<Synced> = Vec::new();
            for table in 0..self.tables.len() {
                // A membership table is synced now and then, as any other.
                if (if table < self.data { random.below(4) < 3 } else { random.one_in(8) })
                    && let Some(synced) = self.synced(random, table, &params)
                {
                    tables.push(synced);
                }
            }
            if !tables.is_empty() {
                return Rule { name, public: false, params, tables };
            }
        }
    }

    fn param(&self, random: &mut Random) -> Param {
        if random.one_in(4) {
            let claims = [(Type::Text, Claim::User), (Type::Text, Claim::Owner), (Type::Int, Claim::Number)];
            let (ty, claim) = *random.pick(&[claims.as_slice(), &[(Type::Uuid, Claim::Id)]].concat());
            return Param { ty, source: Source::Claim(claim) };
        }
        let table = self.data + random.below(self.tables.len() - self.data);
        let column = *random.pick(&[2, 2, 3, 4]);
        let mut claims = vec![(0, Claim::User)];
        match random.below(6) {
            0 => claims.push((1, Claim::Owner)),
            1 if column != 3 => claims = vec![(3, Claim::Number)],
            2 if column != 4 => claims = vec![(4, Claim::Id)],
            _ => {}
        }
        let mut all: Vec<Condition> =
            claims.into_iter().map(|(column, claim)| Condition::Bound { column, to: Bound::Claim(claim) }).collect();
        all.extend(self.filters(random, table, &[5, 6, 7]));
        let condition = Condition::All(all);
        Param { ty: self.tables[table].columns[column].ty, source: Source::Member { table, column, condition } }
    }

    fn synced(&self, random: &mut Random, table: usize, params: &[Param]) -> Option<Synced> {
        let is_data = table < self.data;
        let scoping: &[usize] = if is_data { &[0, 1, 1, 2, 3, 4] } else { &[0, 1, 2, 3, 4] };
        let mut scope: Vec<usize> = Vec::new();
        for param in params {
            let free: Vec<usize> = scoping
                .iter()
                .copied()
                .filter(|at| self.tables[table].columns[*at].ty == param.ty && !scope.contains(at))
                .collect();
            if free.is_empty() {
                return None;
            }
            scope.push(*random.pick(&free));
        }
        let filters = self.filters(random, table, if is_data { &[5, 6, 7] } else { &[5, 6] });
        let any = filters.len() > 1 && random.one_in(2);
        let mut all: Vec<Condition> = scope
            .iter()
            .enumerate()
            .map(|(param, column)| Condition::Bound { column: *column, to: Bound::Param(param) })
            .collect();
        if any {
            all.push(Condition::Any(filters))
        } else {
            all.extend(filters)
        }
        Some(Synced { table, scope, condition: Condition::All(all) })
    }

    /// Up to two conditions on these columns, no column twice.
    fn filters(&self, random: &mut Random, table: usize, on: &[usize]) -> Vec<Condition> {
        let count = *random.pick(&[0, 0, 1, 1, 2]);
        let mut filters: Vec<Filter> = Vec::new();
        for _ in 0..count {
            let column = *random.pick(on);
            if filters.iter().all(|filter| filter.column != column) {
                let values = &self.tables[table].columns[column].values;
                let known: Vec<Value> = values.iter().copied().filter(|value| *value != Value::Null).collect();
                filters.push(Filter { column, negated: random.one_in(2), value: *random.pick(&known) });
            }
        }
        filters.into_iter().map(Condition::Is).collect()
    }

    /// The tables that some rule syncs.
    pub(super) fn synced_tables(&self) -> Vec<usize> {
        let is_synced = |at: &usize| self.rules.iter().flat_map(|rule| &rule.tables).any(|synced| synced.table == *at);
        (0..self.tables.len()).filter(is_synced).collect()
    }
}

impl Actor {
    pub(super) fn claim(&self, claim: Claim) -> Value {
        match claim {
            Claim::User => Value::Text(self.user),
            Claim::Owner => Value::Text(self.owner),
            Claim::Number => Value::Int(self.number),
            Claim::Id => Value::Uuid(self.id),
            Claim::Region => Value::Text(self.region),
            Claim::Shop => self.shop.map_or(Value::Null, Value::Text),
        }
    }
}

/// The hash of a blob.
pub(super) fn hash(digit: char) -> String {
    digit.to_string().repeat(64)
}

impl Table {
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

fn ints(width: Width) -> [i64; 3] {
    match width {
        Width::Eight => [7, 9_007_199_254_740_993, -1],
        Width::Four | Width::Two => [7, 8, -1],
    }
}

/// What a column may hold.
fn values(width: Width, name: &str, ty: Type) -> Vec<Value> {
    match (name, ty) {
        ("who" | "o", _) => USERS.iter().map(|user| Value::Text(user)).collect(),
        ("tenant", _) => [Value::Text("o1"), Value::Text("o2")].to_vec(),
        ("state", _) => STATES.iter().map(|state| Value::Text(state)).collect(),
        ("n", _) => [Value::Int(1), Value::Int(2)].to_vec(),
        ("id", Type::Text) => ["i1", "i2", "i3", "i4", "7", "b/c'\""].iter().map(|id| Value::Text(id)).collect(),
        ("id", Type::Int) => [1, 2, 3, 7, 8, 10].iter().map(|id| Value::Int(*id)).collect(),
        (_, Type::Text) => TEXTS.iter().map(|text| Value::Text(text)).collect(),
        (_, Type::Int | Type::Long) => ints(width).iter().map(|int| Value::Int(*int)).collect(),
        (_, Type::Uuid) => UUIDS.iter().map(|id| Value::Uuid(*id)).collect(),
        (_, Type::Blob) => BLOBS.iter().map(|digit| Value::Blob(*digit)).collect(),
        (_, Type::Bool) => [Value::Bool(true), Value::Bool(false)].to_vec(),
    }
}

fn column(width: Width, name: &'static str, ty: Type) -> Column {
    Column { name, ty, nullable: false, private: false, values: values(width, name, ty) }
}

fn nullable(width: Width, name: &'static str, ty: Type) -> Column {
    let mut column = Column { nullable: true, ..column(width, name, ty) };
    column.values.push(Value::Null);
    column
}

fn data_table(random: &mut Random, width: Width, name: &'static str) -> Table {
    let id = *random.pick(&[Type::Text, Type::Text, Type::Int, Type::Uuid]);
    let mut columns = vec![
        column(width, "id", id),
        column(width, "a", Type::Text),
        column(width, "o", Type::Text),
        column(width, "b", Type::Int),
        column(width, "c", Type::Uuid),
        column(width, "flag", Type::Bool),
        nullable(width, "state", Type::Text),
        nullable(width, "n", Type::Int),
        column(width, STAMP, Type::Long),
        nullable(width, "photo", Type::Blob),
    ];
    for at in [5, 6, 7, 9] {
        columns[at].private = random.one_in(4);
    }
    if random.one_in(2) {
        columns.push(nullable(width, "client_id", Type::Text));
    }
    // A key may hold what scopes the row: then a move is another key.
    let key = random.pick(&[vec![0], vec![0], vec![1, 0], vec![3, 0], vec![0, 4]]).clone();
    Table { name, columns, key, places: vec![1, 2, 3, 4], judged: vec![5, 6, 7] }
}

fn member_table(random: &mut Random, width: Width, name: &'static str) -> Table {
    let columns = vec![
        column(width, "who", Type::Text),
        column(width, "tenant", Type::Text),
        column(width, "a", Type::Text),
        column(width, "b", Type::Int),
        column(width, "c", Type::Uuid),
        nullable(width, "role", Type::Text),
        column(width, "level", Type::Int),
        column(width, "live", Type::Bool),
        column(width, STAMP, Type::Long),
    ];
    let key = random.pick(&[vec![0, 2], vec![0, 3], vec![0, 2, 4]]).clone();
    Table { name, columns, key, places: vec![2, 3, 4], judged: vec![5, 6, 7] }
}
