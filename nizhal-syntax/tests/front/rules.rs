//! Rules.

use crate::{mistakes, tokens};
use nizhal_syntax::Errors;
use nizhal_syntax::ast::parse_rules;
use nizhal_syntax::check::check_rules;
use nizhal_syntax::model::{RuleSet, Source, lower_rules};

fn read(source: &str) -> (Option<RuleSet>, Vec<String>) {
    let errors = Errors::new();
    let set = parse_rules(tokens(source), &errors).map(|ast| lower_rules(ast, &errors));
    if let Some(set) = &set {
        check_rules(set, &errors);
    }
    (set, mistakes(errors))
}

/// The mistakes of a rule with this header and these lines.
fn rule(header: &str, lines: &str) -> Vec<String> {
    read(&format!("rules for Claims; rule mine({header}) {{ {lines} }}")).1
}

const MEMBER: &str = "shop in M.shop where M.user == actor.user_id;";

#[test]
fn a_rule_set_is_understood() {
    let source = r#"
        /// All.
        pub(crate) ledger_rules for app::Claims;
        /// One.
        #[name = "first"]
        rule my_shops(shop, owner) {
            shop in M.shop where (M.user == actor.user_id) && M.role != "guest";
            owner = actor.owner_id;
            app::C where app::C.shop == shop && C.owner == owner && C.level == -1;
        }
        rule other_shops(owner,) { owner = actor.owner_id; C where C.owner == owner; }
    "#;
    let (set, mistakes) = read(source);
    let set = set.unwrap();
    assert_eq!(mistakes, [""; 0]);
    let names: Vec<String> = set.rules.iter().map(|rule| rule.name.value()).collect();
    assert_eq!((names.join(" ").as_str(), set.rules[0].doc.as_str()), ("first otherShops", "One."));
    let Source::Member { terms, .. } = &set.rules[0].params[0].source else { panic!() };
    assert!(terms.bound.len() == 1 && terms.filters()[1].negated());
    assert!(matches!(&set.rules[0].params[1].source, Source::Claim(claim) if claim.ident == "owner_id"));
    assert_eq!((set.rules[0].tables[0].terms.bound.len(), set.rules[0].tables[0].terms.unbound.len()), (2, 1));
}

#[test]
fn leaks_are_refused() {
    for (line, wanted) in [
        ("C;", "`C` has no bucket: every row of it would reach every actor of rule `mine`"),
        ("C where C.a == 1;", "`C` has no bucket: every row of it would reach every actor of rule `mine`"),
        ("C where C.shop == shpo;", "rule `mine` has no parameter `shpo`"),
        ("C where C.shop != shop;", "`!=` would give the rows of every bucket but `shop`"),
        ("C where C.shop == shop && C.b == shop;", "`shop` is compared twice in this line"),
        (
            "C where C.shop == shop || C.b == 1;",
            "this branch of `||` has no bucket: its rows would reach every actor of rule `mine`",
        ),
        (
            "C where C.b == 1 || C.shop == shop;",
            "this branch of `||` has no bucket: its rows would reach every actor of rule `mine`",
        ),
        (
            "C where C.x == 1 && (C.y == 2 || C.shop == shop && C.b == 1);",
            "this branch of `||` has no bucket: its rows would reach every actor of rule `mine`",
        ),
        ("C where C.a == 1 || C.b == 1;", "`C` has no bucket: every row of it would reach every actor of rule `mine`"),
        (
            "C where C.shop == shop && C.a == 1 || C.b == shop && C.c == 1;",
            "this branch is scoped by `C.b`, another by `C.shop`",
        ),
        (
            "C where C.shop == shop && C.a == 1 || C.shop != shop && C.b == 1;",
            "`!=` would give the rows of every bucket but `shop`",
        ),
        (
            "C where C.shop == shop && C.a == 1 || C.shop == shop;",
            "this branch says nothing of its own, so the others have no effect",
        ),
        ("C where C.shop == shop && (C.b == 1 || C.b == 1);", "this branch is there already"),
        ("C where C.shop == shop && (C.b == 1 || C.b != 1);", "one of these branches is always true"),
        ("C where C.shop == shop && (C.b == true || C.b == false);", "one of these branches is always true"),
        ("C where C.shop == shop && (C.b != 1 || C.b != 2);", "one of these branches is always true"),
        ("C where C.shop == shop && C.b == 1 && (C.b == 2 || C.c == 1);", "these conditions are never true together"),
        ("C where C.shop == shop && (C.b == 1 || true);", "this condition is always true"),
        ("C {} where C.shop == shop;", "this list names no column"),
        ("C { id, a, id } where C.shop == shop;", "`id` is listed twice"),
        ("C where C.shop == shop && !C.b;", "`!` cannot stand in a rule"),
        ("C where !(C.shop == shop);", "`!` cannot stand in a rule"),
        ("C where C.shop == shop && C.b;", "a column alone is not a condition"),
        ("C where C.shop == shop && C.b >= 1;", "`>=` cannot stand in a rule"),
        ("C where C.shop == shop && 1 == 2;", "this condition is never true: it compares two constants"),
        ("C where C.shop == shop && true;", "this condition is always true"),
        ("C where C.shop == shop && C.b == C.b;", "this condition is always true: it compares a column with itself"),
        ("C where C.shop == C.b;", "a rule compares no two columns"),
        ("C where C.shop == shop && C.b == 1 && C.b == 2;", "these conditions are never true together"),
        ("C where C.shop == shop && C.b == 1.5;", "a column cannot be compared with this"),
        ("C where shop == C.shop;", "the column comes first"),
        ("C where \"1 = 1\";", "SQL as text cannot be checked, so a rule takes none"),
        ("C where D.shop == shop;", "this line is about `C`, not about `D`"),
        ("C where C.shop == actor.shop;", "a table line compares with parameters, not with the actor"),
        ("C where C.shop == shop; x::C where C.shop == shop;", "rule `mine` syncs this table already"),
        ("", "rule `mine` syncs no table"),
        ("C where C.shop == shop", "this line of the rule should have ended"),
    ] {
        assert_eq!(rule("shop", &format!("{MEMBER} {line}")), [wanted], "{line}");
    }
}

#[test]
fn parameters_belong_to_the_actor() {
    for (source, wanted) in [
        ("", "parameter `shop` is not bound to the actor"),
        ("shop = \"s1\";", "`shop` is bound to something other than the actor"),
        ("shop in M.shop;", "`shop` is not bound to the actor: anyone would be a member"),
        ("shop in M.shop where M.role == \"x\";", "`shop` is not bound to the actor: anyone would be a member"),
        (
            "shop in M.shop where M.user != actor.id;",
            "`!=` does not make `shop` the actor's own: everyone but the actor would match",
        ),
        ("shop in M.shop where N.user == actor.id;", "a membership reads one table, and this one reads `M`"),
        ("shop in actor.shops;", "this is not a column of a membership table"),
        ("shop in M.shop where M.user == actor.id && M.x == shop;", "a membership cannot depend on `shop`"),
        ("shop = actor.shop; shop = actor.other;", "parameter `shop` is bound twice"),
        ("shop = actor.shop; owner = actor.owner_id;", "rule `mine` has no parameter `owner`"),
    ] {
        assert_eq!(rule("shop", &format!("{source} C where C.shop == shop;")), [wanted], "{source}");
    }
}

#[test]
fn headers_are_judged() {
    let two = "shop = actor.shop; owner = actor.owner;";
    for (header, lines, wanted) in [
        ("shop, owner", "C where C.shop == shop;", "parameter `owner` is not used by any table of rule `mine`"),
        (
            "shop, owner",
            "C where C.shop == shop; D where D.shop == shop && D.owner == owner;",
            "`C` is not scoped by every parameter: rows would reach actors of another bucket",
        ),
        ("shop, owner, shop", "C where C.shop == shop && C.owner == owner;", "parameter `shop` is declared twice"),
    ] {
        assert_eq!(rule(header, &format!("{two} {lines}")), [wanted], "{header}");
    }
    assert_eq!(rule("", "C where C.a == 1;"), ["rule `mine` has no parameter, so its rows would reach everyone"]);
}

#[test]
fn a_broken_line_hides_no_other_mistake() {
    let source = "rules for Claims; rul x() {} rule mine(shop, shop) { = 3; C where C.a == 1; D || E; }";
    let wanted = [
        "this is not a rule",
        "parameter `shop` is declared twice",
        "this is not a line of a rule",
        "this line of the rule should have ended",
    ];
    assert_eq!(read(source).1, wanted);
}

#[test]
fn two_rules_of_one_name_collide() {
    let one = |name: &str| format!("rule {name}(o) {{ o = actor.o; C where C.o == o; }}");
    let source = format!("rules for Claims; {} {}", one("my_shops"), one("myShops"));
    assert_eq!(read(&source).1, ["there are two rules named \"myShops\" on the wire; the first is `my_shops`"]);
}
