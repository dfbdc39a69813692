//! What a tenant has beside its AppRole and its role, and where files are handed over.

use crate::support::*;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Lets a tenant read its second role.
pub const SECOND_ROLE_POLICY: &str =
    "path \"{mount}/creds/{role}-two\" { capabilities = [\"read\"] }\n";
/// Who logs in by userpass.
pub const USER: &str = "ann";
/// That user's password.
pub const PASSWORD: &str = "correct-horse-battery-staple";

/// The second role's credentials.
pub fn second_creds(tenant: &Tenant) -> String {
    format!("{}-two", tenant.creds_path())
}

/// The tenant's mount of userpass.
pub fn userpass(tenant: &Tenant) -> String {
    format!("userpass-{}", tenant.database_role())
}

/// Makes a second role, as the first, and a user.
pub fn furnish(tenant: &Tenant) {
    let admin = tenant.admin();
    let path = tenant.creds_path().replace("/creds/", "/roles/");
    let role = admin.read(&path).unwrap();
    admin
        .write(&format!("{path}-two"), role["data"].clone())
        .unwrap();
    let mount = userpass(tenant);
    let user = json!({"password": PASSWORD, "token_policies": [tenant.policy()]});
    admin
        .write(&format!("sys/auth/{mount}"), json!({"type": "userpass"}))
        .unwrap();
    admin
        .write(&format!("auth/{mount}/users/{USER}"), user)
        .unwrap();
}

/// A folder in memory, as a login session has one.
pub struct Files(PathBuf);

impl Files {
    /// A new one.
    pub fn new() -> Self {
        let folder = PathBuf::from(format!("/dev/shm/vaultexec-soak-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder::write_secret(&folder.join("password"), PASSWORD);
        Self(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The password of the user.
    pub fn password(&self) -> PathBuf {
        self.0.join("password")
    }

    /// What runs have left in it.
    pub fn left(&self) -> Option<String> {
        let entries = fs::read_dir(&self.0).unwrap().flatten();
        let left: Vec<_> = entries
            .map(|entry| entry.file_name())
            .filter(|name| name != "password")
            .collect();
        (!left.is_empty()).then(|| format!("the files {left:?}"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
