//! Modules of a crate that import each other in a circle: each can only be read with all the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{code, root, sources};

/// What is named behind each `start::` of a text, alone or in braces.
fn named_behind(code: &str, start: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(start) {
        // `super::super::` is another module's.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + start.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for c in list.chars() {
            match c {
                '}' if depth == 0 => break,
                ',' if depth == 0 => _ = found.insert(word(&std::mem::take(&mut item))),
                _ => item.push(c),
            }
            depth += usize::from(c == '{');
            depth -= usize::from(c == '}' && depth > 0);
        }
        found.insert(word(&item));
    }
    found
}

/// The modules of a crate, and what its root re-exports of them: each name with the module it is from.
fn names_of(lib: &str) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let public = |line: &str| -> String {
        let line = line.trim_start_matches("pub(crate) ");
        line.trim_start_matches("pub ").to_owned()
    };
    let statements: Vec<String> = lib.split(';').map(|it| public(it.trim())).collect();
    let modules: BTreeSet<String> = statements
        .iter()
        .filter_map(|it| {
            it.rsplit_once('\n')
                .map_or(Some(&**it), |(_, last)| Some(last))
        })
        .filter_map(|it| public(it).strip_prefix("mod ").map(str::to_owned))
        .collect();
    let mut names: BTreeMap<String, String> =
        modules.iter().map(|it| (it.clone(), it.clone())).collect();
    for statement in &statements {
        let Some((module, rest)) = statement
            .strip_prefix("use ")
            .and_then(|it| it.split_once("::"))
        else {
            continue;
        };
        if modules.contains(module) {
            let words = rest.split(|c: char| !c.is_alphanumeric() && c != '_');
            for name in words.filter(|it| !it.is_empty()) {
                names.entry(name.into()).or_insert_with(|| module.into());
            }
        }
    }
    (modules, names)
}

/// Who imports whom among the modules of a crate.
fn imports_of(src: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let (modules, names) = names_of(&code(&src.join("lib.rs")));
    let mut imports = BTreeMap::new();
    for module in modules {
        let top = src.join(format!("{module}.rs"));
        let mut found = named_behind(&code(&top), "super::");
        for file in sources(&src.join(&module)).into_iter().chain([top]) {
            found.extend(named_behind(&code(&file), "crate::"));
        }
        let mut found: BTreeSet<String> = found
            .iter()
            .filter_map(|it| names.get(it))
            .cloned()
            .collect();
        found.remove(&module);
        imports.insert(module, found);
    }
    imports
}

/// The modules that `from` reaches by imports.
fn reached<'i>(
    imports: &'i BTreeMap<String, BTreeSet<String>>,
    from: &'i str,
) -> BTreeSet<&'i str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for next in imports.get(module).into_iter().flatten() {
            if reached.insert(&**next) {
                open.push(next);
            }
        }
    }
    reached
}

/// The groups of modules that reach each other.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for module in imports.keys() {
        let group: Vec<String> = imports
            .keys()
            .filter(|other| {
                reached(imports, module).contains(&***other)
                    && reached(imports, other).contains(&**module)
            })
            .cloned()
            .collect();
        if !group.is_empty() {
            found.insert(group);
        }
    }
    found
}

#[test]
fn modules_of_a_crate_import_in_no_circle() {
    let mut found = BTreeSet::new();
    let mut count = 0;
    for entry in fs::read_dir(root().join("crates")).expect("list the crates") {
        let path = entry.expect("a crate").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let imports = imports_of(&path.join("src"));
        count += imports.values().map(BTreeSet::len).sum::<usize>();
        found.extend(circles(&imports).into_iter().map(|it| (name.clone(), it)));
    }
    assert!(count > 150, "{count} imports were found");
    assert!(
        found.is_empty(),
        "move what both need below them: {found:?}"
    );
}

#[test]
fn a_circle_is_found_through_what_a_root_reexports() {
    let (modules, names) =
        names_of("mod a;\npub mod b;\n\npub use a::{One, Two as Three};\npub use b::c;");
    assert_eq!(modules, ["a", "b"].map(str::to_owned).into());
    assert_eq!((&*names["Three"], &*names["c"]), ("a", "b"));
    let named = named_behind(
        "use crate::{One, b::{x, y}, c};\nuse crate::d::e;",
        "crate::",
    );
    assert_eq!(named, ["One", "b", "c", "d"].map(str::to_owned).into());
    assert!(named_behind("use super::super::x;", "super::").contains("super"));
    let to = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
    let imports = BTreeMap::from([
        ("a".into(), to(&["b"])),
        ("b".into(), to(&["c"])),
        ("c".into(), to(&["a"])),
        ("d".into(), to(&["a"])),
    ]);
    let circle = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(circles(&imports), BTreeSet::from([circle]));
}
