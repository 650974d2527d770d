//! Which store a directory of certificates has its index in.

use std::path::Path;

use pki::CertsError;
use pki::place::{JoinedStore, StorePlace};
use pki::store::Paths;

use super::SignerAbout;
use crate::cli::store::StoreArgs;

/// Where the index of a directory is: what was asked for, or what the directory has joined, or the directory itself.
///
/// # Errors
/// When what was asked for cannot be used, or the directory has joined another store.
pub fn store_place(dir: &Path, args: &StoreArgs) -> Result<StorePlace, CertsError> {
    let joined = JoinedStore::read(dir)?;
    let asked = match (&args.store, joined) {
        (None, None) => match &args.store_password_file {
            None => return Ok(StorePlace::directory(dir)),
            Some(_) => {
                return Err(CertsError::refused(
                    format!("--store-password-file is given, but {dir:?} has joined no store"),
                    "name the store with --store, or leave --store-password-file out",
                ));
            }
        },
        (None, Some(joined)) => joined,
        (Some(store), joined) => {
            if let Some(joined) = joined.as_ref().filter(|it| it.store != *store) {
                return Err(CertsError::refused(
                    format!(
                        "{dir:?} has joined the store {:?}, and --store names another one",
                        joined.store
                    ),
                    format!(
                        "if the database has moved with all that is in it, remove {:?}",
                        JoinedStore::path(dir)
                    ),
                ));
            }
            JoinedStore {
                store: store.clone(),
                password_file: joined.and_then(|joined| joined.password_file),
            }
        }
    };
    let given = args.store_password_file.as_deref().map(std::path::absolute);
    let given = given
        .transpose()
        .map_err(|source| CertsError::io("find", dir, source))?;
    let joined = JoinedStore {
        password_file: given.or(asked.password_file),
        ..asked
    };
    let file = args.store.is_none().then(|| JoinedStore::path(dir));
    let place = open(dir, joined, file.as_deref())?;
    Ok(place.with_ca_elsewhere(is_elsewhere(dir)?))
}

/// Whether a command signs for the CA of a directory, as its signer has said.
///
/// # Errors
/// When what the signer has said cannot be read.
pub fn is_elsewhere(dir: &Path) -> Result<bool, CertsError> {
    let about = SignerAbout::read(dir)?;
    Ok(!Paths::of(dir).ca_key.is_file() && about.is_some_and(|it| it.elsewhere))
}

/// The place of a store that was asked for, or that this file of the directory names.
#[cfg(feature = "postgres")]
fn open(dir: &Path, joined: JoinedStore, file: Option<&Path>) -> Result<StorePlace, CertsError> {
    use std::sync::Arc;
    use store_postgres::{DatabaseUrl, DatabaseUrlFault, PasswordFile, PostgresStore};

    let wrong = |fault: DatabaseUrlFault| match file {
        None => CertsError::refused(format!("--store: {fault}"), fault.hint()),
        Some(file) => CertsError::refused(
            format!("{file:?} names a store that cannot be used: {fault}"),
            format!("correct \"store\" in {file:?}: {}", fault.hint()),
        ),
    };
    let url: DatabaseUrl = joined.store.parse().map_err(wrong)?;
    let password = joined.password_file.clone().map(PasswordFile);
    let store = PostgresStore::new(url, password)?;
    Ok(StorePlace::shared(dir, Arc::new(store), joined))
}

#[cfg(not(feature = "postgres"))]
fn open(_: &Path, _: JoinedStore, _: Option<&Path>) -> Result<StorePlace, CertsError> {
    Err(CertsError::refused(
        "this dockgate was built without PostgreSQL",
        "use one that was built with the feature `postgres`, which is the default",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_for_no_store_is_refused() {
        let dir = tempfile::tempdir().expect("create a directory");
        let alone = StoreArgs::default();
        assert!(store_place(dir.path(), &alone).is_ok());
        let with_password = StoreArgs {
            store_password_file: Some("password".into()),
            ..alone
        };
        let refused = store_place(dir.path(), &with_password).expect_err("there is no store");
        let said = refused.to_string();
        assert!(said.contains("has joined no store"), "{said}");
    }
    #[cfg(feature = "postgres")]
    #[test]
    fn a_store_that_cannot_be_used_is_corrected_where_it_is_written() {
        let dir = tempfile::tempdir().expect("create a directory");
        let url = "postgres://db.example/x?sslrootcert=ca.pem";
        let asked = StoreArgs {
            store: Some(url.into()),
            ..StoreArgs::default()
        };
        let refused = store_place(dir.path(), &asked).expect_err("a relative path");
        assert!(refused.to_string().starts_with("--store: "), "{refused}");
        let joined = JoinedStore {
            store: url.into(),
            password_file: None,
        };
        joined.write(dir.path()).expect("written");
        let refused = store_place(dir.path(), &StoreArgs::default()).expect_err("the same");
        let hint = refused.hint().expect("a hint");
        let file = format!("{:?}", JoinedStore::path(dir.path()));
        assert!(hint.contains(&file), "{hint}");
        assert!(
            hint.contains("sslrootcert=/etc/dockgate/db-ca.pem"),
            "{hint}"
        );
        assert!(refused.to_string().contains(&file), "{refused}");
    }
}
