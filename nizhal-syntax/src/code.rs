//! The catalogue of messages: each has a code that stands in its first line, and a page of the book that lists it.

mod example;

pub use example::Example;

use std::fmt;

macro_rules! catalogue {
    ($($part:literal { $($number:literal $name:ident $title:literal $text:literal,)* })*) => {
        /// What a message is about; each stands at one place of the front end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $title] $name = $number,)*)*
        }

        impl Code {
            /// All codes by the parts of the catalogue.
            pub const PARTS: &'static [(&'static str, &'static [Self])] = &[$(($part, &[$(Self::$name),*])),*];

            /// What it is about, in a few words.
            pub const fn title(self) -> &'static str {
                match self {
                    $($(Self::$name => $title,)*)*
                }
            }

            /// Why it is a mistake.
            pub const fn explanation(self) -> &'static str {
                match self {
                    $($(Self::$name => $text,)*)*
                }
            }
        }
    };
}

catalogue! {
    "What a rule set says" {
        1 RulesWithoutHead "a rule set without its first line" "It begins with the name of the function that gives the rules, and the claims type they are for.",
        2 NotARule "something else between the rules" "A rule is `rule name(parameter) { … }`, or `public rule name() { … }`.",
        3 NotALine "a line that a rule does not have" "A rule's lines bind parameters or sync tables.",
        4 LineUnended "a line that goes on where it should end" "Lines end with `;`.",
        5 UnknownRuleWord "an attribute that a rule does not have" "Beside doc comments there are `name`, `max_buckets`, `priority` and `on_demand`.",
        6 RuleWordTwice "an attribute that is written twice" "Only one of them could count.",
        7 RuleNameNotText "a rule's name that is no text" "The name goes over the wire.",
        8 RuleNameEmpty "an empty name" "The name goes over the wire, and names buckets.",
        9 RuleTwice "two rules of one name" "Devices could not tell their buckets apart.",
        10 RuleEmpty "a rule without a table" "Its buckets would be empty.",
        11 MaxBucketsNotNumber "a bound that is no number" "It bounds how many buckets an actor may have of the rule.",
        12 MaxBucketsRange "a bound out of range" "A pull names each bucket it reads, so there is an end to how many there can be.",
        13 PublicMaxBuckets "a bound on a public rule" "Everybody has its one bucket.",
        14 PriorityNotNumber "a priority that is no number" "Devices get the buckets of the lowest number first.",
        15 PriorityRange "a priority out of range" "A rule without one has a number in the middle, so that others may come before and after it.",
        16 OnDemandShape "`on_demand` without its time" "A device forgets a bucket some time after its app stopped asking for it.",
        17 OnDemandTtl "a time that is no duration" "It says how long a device keeps a bucket that its app no longer asks for.",
    }
    "Parameters" {
        20 ParameterTwice "a parameter that is declared twice" "The second would hide the first, and rows would be scoped by one of them alone.",
        21 ParameterActor "a parameter called `actor`" "It would hide the one who asks.",
        22 ParameterUnused "a parameter that scopes nothing" "Rows would reach actors whatever its value.",
        23 Unbound "a parameter that nothing binds" "Its values would be anybody's to choose.",
        24 BoundTwice "a parameter that is bound twice" "Only one of the two could count.",
        25 BoundUndeclared "a bound name that is no parameter" "The header lists the parameters, in the order of a bucket's parts.",
        26 BoundToOther "a parameter that is bound to no claim" "A bucket is an actor's own only when its values come from the token or a membership.",
        27 RuleForEveryone "a rule without parameters" "Its rows would reach every actor. Where that is meant, `public rule` says so.",
        28 PublicWithParameter "a public rule with a parameter" "A public rule has one bucket, which everybody holds.",
        30 MembershipNoColumn "a membership without a column" "The values come from one column of a table.",
        31 MembershipOfAnyone "a membership that names no actor" "Every actor would be a member.",
        32 MembershipNegated "a membership of all but the actor" "`!=` matches the rows of everyone else.",
        33 MembershipOnParameter "a membership that depends on a parameter" "Parameters are bound one by one, each from the actor alone.",
        34 MembershipOtherTable "a membership over two tables" "Nothing would tie a row of the one to a row of the other.",
    }
    "Table lines" {
        40 NoBucket "a table that is not scoped by every parameter" "Rows would reach actors of other buckets. This is the check that the others serve.",
        41 LooseBranch "a branch of `||` that binds less than another" "Its rows would be in everybody's bucket, or its members anyone. What scopes must hold in every branch.",
        42 BranchScopedOtherwise "branches that are scoped by different columns" "A row would be in two buckets of one rule. Two rules say the same, each with one column.",
        43 ScopeNegated "a negated scope" "`!=` gives the rows of every bucket but the actor's.",
        44 ScopedTwice "a parameter that is compared twice" "Only one column says to whom a row belongs.",
        45 UnknownParameter "a name that is no parameter" "Values in conditions are parameters, or constants.",
        46 OtherTable "a column of another table" "A line's condition is about the line's own rows.",
        47 ActorInTableLine "a claim in a table line" "Rows are in buckets, whoever asks; the parameter is what ties an actor to a bucket.",
        48 TableTwice "a table that the rule syncs already" "Two lines would say two things of one row's bucket.",
        49 ListsDiffer "two lists of columns for one table" "A device keeps one row of a table, whichever rule gave it, so what one rule hides another must not show.",
        50 EmptyList "a list of no columns" "Devices know rows by their key at least.",
        51 ListedTwice "a column that is listed twice" "Once is enough.",
        52 ListNotNames "a list of something else than columns" "What is listed leaves the server as it is.",
    }
    "Conditions" {
        60 UnknownOperator "an operator that no condition has" "`==`, `!=`, `&&` and `||` can be checked, captured and indexed on both databases.",
        61 Negation "a `!`" "A negated condition could turn a scope into its opposite.",
        62 SqlText "SQL in a text" "What cannot be read cannot be checked.",
        63 ConstantCondition "a condition that is a constant" "It would hold for all rows, or for none.",
        64 BareColumn "a column alone" "What it is compared with is part of the condition.",
        65 UnknownCondition "something that is no condition" "A condition compares columns; functions, blocks and macros cannot be checked.",
        66 ComparedWithItself "a column that is compared with itself" "It holds for every row, or for none.",
        67 TwoColumns "two columns" "Rows are in buckets by parameters and constants alone, so that an index finds them.",
        68 ColumnSecond "a column on the right" "One order is easier to read.",
        69 TwoConstants "two constants" "They say nothing of a row.",
        70 NotAColumn "a left side that is no column" "A condition is about a row's columns.",
        71 UnknownValue "a right side that is no value" "There are parameters, claims and constants.",
        72 ConditionRepeated "a condition that is there already" "It changes nothing.",
        73 NeverTrueTogether "conditions that exclude each other" "No row would ever be in the bucket.",
        74 BranchRepeated "a branch that is there already" "It changes nothing.",
        75 BranchesAlwaysTrue "branches of which one always holds" "The condition says nothing.",
        76 IdleBranches "branches that have no effect" "One branch takes every row of the bucket, so the others change nothing.",
        77 ConditionTooLong "a condition that is too long" "Each pull carries it in its statement, and each write in its trigger.",
    }
    "Attributes" {
        80 UnknownWord "a word that an attribute does not have" "Most often it is misspelt.",
        81 WordTwice "a word that is written twice" "Only one of the two could count.",
        82 WordTakesNoValue "a word with a value it does not take" "The word alone says it.",
        83 WordNotText "a value that is no text" "The word takes a text.",
        84 WordNeedsText "a word without its text" "The word takes a text.",
        85 WordNotNumber "a value that is no whole number" "The word takes a whole number.",
        86 WordNeedsNumber "a word without its number" "The word takes a whole number.",
        87 WordNeedsTables "a word without its tables" "The word takes tables, by their types.",
        88 TablesNotTypes "a list of something else than types" "Tables are named by their types, so that rustc finds them.",
        89 EmptyAttribute "an attribute that says nothing" "There is nothing between its parentheses.",
    }
    "Tables" {
        100 TableKind "a table that is no struct" "A table's columns are a struct's fields.",
        101 UnnamedColumns "a table with unnamed columns" "Columns are named by fields.",
        102 TableGeneric "a generic table" "A table has one set of columns.",
        103 NoKey "a table without a key" "Devices name rows by their key, and pulls are ordered by it.",
        104 KeyTooLong "a key of many columns" "The key is part of every index and every cursor.",
        105 KeyOptional "a key that may be empty" "NULL equals nothing, so nobody could name the row.",
        106 KeyPrivate "a private key" "Devices name rows by their key.",
        107 KeyUnique "a key that is said to be unique" "It is so already.",
        108 BadName "a name that is no name" "Names go into SQL and JSON as they are.",
        109 LongName "a name that is too long" "Postgres cuts longer names off.",
        110 ReservedName "a name of the engine's" "The engine keeps columns and tables of its own beside yours.",
        111 ColumnTwice "two columns of one name" "SQLite tells upper and lower case not apart.",
        112 ColumnConditional "a column that some builds lack" "Server and devices must see the same table.",
        113 UnsupportedType "a type that no column has" "The message names the one to take.",
        115 OptionTwice "an `Option` in an `Option`" "A column is NULL or not.",
        116 EngineColumnType "`updated_at` or `deleted_at` of another type" "The engine writes them.",
        117 DefaultWithoutValue "a default without a value" "The database writes it where an insert leaves the column out.",
        118 DefaultUnreadable "a default that is no constant" "It becomes part of `create table` on both databases.",
        119 DefaultOfOtherType "a default of another type" "The database would refuse it.",
        120 DefaultOutOfRange "a number that does not fit" "The database would refuse it.",
        121 UnknownMerge "a merge policy that does not exist" "There are `lww`, `field` and `replay`.",
        122 KeyMerges "a key that merges" "A key names a row, so it must stay what it is.",
        123 UniqueMerges "a unique column that merges" "Merging two documents could break it, and neither writer would be wrong.",
        124 KeyType "a key of a type that has no one text" "Rows and tombstones name a row by its key, in one spelling for both databases.",
        125 GeneratedNotExpression "a generated column that is no expression" "It becomes part of `create table`, between parentheses.",
        126 GeneratedKey "a generated key" "Devices make the keys of the rows that they write.",
        127 GeneratedDefault "a generated column with a default" "The database computes it at each write.",
        128 GeneratedEngineColumn "`updated_at` or `deleted_at` that is generated" "The engine writes them.",
    }
    "Blobs" {
        220 BlobKey "a blob as part of a key" "Rows and tombstones name a row by its key, in one spelling for both databases.",
        221 BlobUnique "a unique blob" "The hash of the bytes names the blob, so the same bytes are one blob for all rows that name it.",
        222 BlobGenerated "a generated blob" "Only a mutation whose actor has the blob may name it.",
        223 BlobInside "a blob inside of another type" "The server finds the rows that name a blob by its column: who may download it, and whether it is still needed.",
    }
    "Mutators" {
        130 FunctionKind "a mutator or a job that is no function" "Both are `async` functions.",
        131 MutatorName "an empty name" "The name goes over the wire.",
        132 MutatorNotAsync "a mutator that is not async" "It works on a database transaction.",
        133 MutatorConst "a const mutator" "It works on a database transaction.",
        134 MutatorUnsafe "an unsafe mutator" "The engine calls it for anyone.",
        135 MutatorAbi "a mutator with an ABI" "The engine calls it as Rust.",
        136 MutatorLifetime "a mutator with lifetimes" "The context has the only one there is.",
        137 MutatorGeneric "a generic mutator" "A name on the wire stands for one function.",
        138 MutatorImplTrait "`impl Trait` in a mutator" "Arguments are read from JSON, so their type must be known.",
        139 MutatorMethod "a mutator with `self`" "There is no value to call it on.",
        140 MutatorShape "a mutator without a context" "The context is the transaction, the actor, the time and the ids.",
        141 MutatorContext "a first argument that is no context" "The context is the transaction, the actor, the time and the ids.",
        142 MutatorNoArgs "a mutator without arguments" "The arguments' type is part of the contract, also when it is empty.",
        143 MutatorManyArgs "a mutator with many arguments" "The arguments are one object on the wire.",
        144 MutatorBorrowsArgs "borrowed arguments" "They are read from the request and handed over.",
        145 MutatorReturnsNothing "a mutator that returns nothing" "It says whether it applied.",
        146 MutatorNoResult "a mutator without a result" "It must be able to refuse.",
        147 MutatorAnswers "a mutator with another answer" "What it applied is answered to the device.",
        148 MemberWrite "a membership table that an unprivileged mutator writes" "Its rows say who sees what, so whoever may write them may get in. `nizhal check` sees it, and the server refuses the write.",
    }
    "Replay" {
        240 ReplayNeedsBucket "a replay without a bucket" "Mutations are in one order among those of one bucket.",
        241 ReplayBucketUnreadable "a replay whose bucket cannot be read" "The rule and the value of its parameter name the bucket.",
        242 ReplayServer "a replayed mutator of the server alone" "What it asks of others it would ask again, each time that it runs again.",
        243 ReplayDocument "a document in a replayed table" "It merges by itself, whatever the order.",
        244 ReplayNow "a replayed column that defaults to the present moment" "It would be another each time that a mutation runs again.",
        245 ReplayRule "a replay in the bucket of no rule" "Mutations are in one order within a bucket of a rule with one parameter. `nizhal check` sees it, and the server does so when it starts.",
        246 ReplayWrite "a write past the order of replayed mutations" "Replayed mutators write replayed tables, and nobody else does. `nizhal check` sees it, and the server refuses the write.",
    }
    "Jobs" {
        150 JobName "an empty name" "Jobs are kept under their names.",
        151 JobAttempts "a number of attempts out of range" "A job that fails is tried again, but not for ever.",
        152 JobNotAsync "a job that is not async" "It works on a database transaction.",
        153 JobConst "a const job" "It works on a database transaction.",
        154 JobUnsafe "an unsafe job" "The workers call it.",
        155 JobAbi "a job with an ABI" "The workers call it as Rust.",
        156 JobLifetime "a job with lifetimes" "The context has the only one there is.",
        157 JobGeneric "a generic job" "A name stands for one function.",
        158 JobImplTrait "`impl Trait` in a job" "Arguments are read from JSON, so their type must be known.",
        159 JobMethod "a job with `self`" "There is no value to call it on.",
        160 JobShape "a job without a context" "The context is the transaction, the time and the ids.",
        161 JobActor "a job with an actor" "It runs when the one who asked for it is gone.",
        162 JobContext "a first argument that is no context" "The context is the transaction, the time and the ids.",
        163 JobNoArgs "a job without arguments" "The arguments' type says how to read what was kept, also when it is empty.",
        164 JobManyArgs "a job with many arguments" "They are kept as one object.",
        165 JobBorrowsArgs "borrowed arguments" "They are read from the database and handed over.",
        166 JobReturnsNothing "a job that returns nothing" "It says whether it is to be tried again.",
        167 JobNoResult "a job without a result" "It must be able to fail.",
        168 JobAnswers "a job with an answer" "Nobody waits for it.",
    }
    "Claims and arguments" {
        180 ClaimsKind "claims that are no struct" "They are a token's fields.",
        181 ClaimsGeneric "generic claims" "They are read from a token, so their type must be known.",
        182 ClaimMissing "claims without the user or the tenant" "Every write belongs to a user of a tenant.",
        183 ClaimNotText "a user or tenant that is no text" "Both go into keys and logs as texts.",
        184 ArgsKind "arguments that are neither struct nor enum" "They are an object on the wire.",
        185 ArgsGeneric "generic arguments" "They are read from JSON, so their type must be known.",
        186 UnnamedArgs "arguments without names" "They have names on the wire.",
        187 UnknownUsers "users that are neither `global` nor `per_owner`" "A user's id names one person among all tenants, or in one of them.",
    }
    "Ids and enums of texts" {
        200 IdKind "an id that is no struct" "It is a type of its own around one value.",
        201 IdShape "an id around several values, or none" "It stands for one column.",
        202 IdGeneric "a generic id" "It is the type of one table's keys.",
        203 IdInner "an id around a type that no key has" "Rows are named by texts, uuids and whole numbers.",
        204 TextEnumKind "an enum of texts that is no enum" "Each variant is one text.",
        205 TextEnumGeneric "a generic enum of texts" "Its texts are known when the database is made.",
        206 TextEnumEmpty "an enum without texts" "No row could hold any.",
        207 VariantHolds "a variant with fields" "A text holds nothing beside itself.",
        208 VariantNumber "a variant with a number" "It is kept as a text.",
        209 VariantConditional "a variant that some builds lack" "Server and devices must read the same texts.",
        210 VariantEmpty "an empty text" "It could not be told from a missing one.",
        211 VariantTwice "two variants of one text" "A row could not tell them apart.",
    }
    "`main`" {
        190 MainTakesNothing "words in `#[nizhal::main]`" "The settings come from the environment.",
        191 MainNotAsync "a `main` that is not async" "The attribute gives it a runtime.",
        192 MainArguments "a `main` with arguments" "The verbs are read by the app.",
    }
}

impl Code {
    /// All codes, in the order of the catalogue.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::PARTS.iter().flat_map(|(_, codes)| codes.iter().copied())
    }

    /// The number, `41` of `NZ041`.
    pub const fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NZ{:03}", self.number())
    }
}
