//! The map in CONTRIBUTING.md names each crate, each module of `src` and each folder of `tests`.

use std::collections::BTreeSet;
use std::fs;

use super::{root, text};

/// The parts of a folder that have to be on the map: its folders, and its Rust files unless a folder has their name.
fn parts(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).expect("list a folder");
    let mut found = BTreeSet::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.expect("UTF-8").to_owned();
        match name.strip_suffix(".rs") {
            Some("lib" | "main") => {}
            Some(module) if path.with_extension("").is_dir() => {
                found.insert(format!("{folder}/{module}"));
            }
            None if !path.is_dir() => {}
            _ => {
                found.insert(format!("{folder}/{name}"));
            }
        }
    }
    found
}

#[test]
fn the_map_names_each_crate_each_module_and_each_folder_of_tests_once() {
    let page = text(&root().join("CONTRIBUTING.md"));
    let (_, map) = page.split_once("\n## The map\n").expect("the map");
    let map = map.split("\n## ").next().unwrap_or_default();
    let rows = map.lines().filter_map(|line| line.strip_prefix("| `"));
    let named: Vec<&str> = rows
        .flat_map(|row| row.split(" | ").next().unwrap_or_default().split('`'))
        .filter(|word| word.contains('/'))
        .collect();
    for folder in ["crates", "src", "tests"] {
        let parts = parts(folder);
        assert!(parts.len() > 7, "{folder}: {parts:?}");
        let prefix = format!("{folder}/");
        let mut on_map: Vec<String> = named
            .iter()
            .filter(|name| name.starts_with(&prefix))
            .map(|name| (*name).to_owned())
            .collect();
        on_map.sort();
        assert_eq!(
            on_map,
            Vec::from_iter(parts),
            "{folder}, as the map names it"
        );
    }
}
