//! The kinds that keep logins in files of this machine.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use handover::stores::env_file::{EnvFileOptions, EnvFileStore};
use handover::stores::file::{FileOptions, FileStore};
use handover::stores::{EntryRef, Store};
use handover_rotation::name::EntryName;

use super::{stores, table};

struct Bench {
    folder: tempfile::TempDir,
    one_file: bool,
}

impl Bench {
    fn new(one_file: bool) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), one_file }
    }

    fn place(&self, name: &str) -> EntryRef {
        EntryRef {
            name: EntryName::new("local").expect("a name"),
            path: self.folder.path().join(name).to_str().expect("a text").to_owned(),
            username_field: "SMTP_USERNAME".to_owned(),
            password_field: "SMTP_PASSWORD".to_owned(),
        }
    }

    fn put(&self, entry: &EntryRef, username: &str, password: &str) {
        let path = PathBuf::from(&entry.path);
        if self.one_file {
            let text = format!("# of the mailer\nSMTP_HOST=x\nSMTP_USERNAME={username}\nSMTP_PASSWORD={password}\nLAST=y\n");
            fs::write(path, text).expect("it is written");
        } else {
            fs::create_dir_all(&path).expect("a folder");
            fs::write(path.join("SMTP_USERNAME"), username).expect("it is written");
            fs::write(path.join("SMTP_PASSWORD"), password).expect("it is written");
        }
    }
}

#[async_trait]
impl stores::StoreBench for Bench {
    fn store(&self) -> Arc<dyn Store> {
        if self.one_file {
            Arc::new(EnvFileStore::new(EnvFileOptions::default()))
        } else {
            Arc::new(FileStore::open(FileOptions).expect("a store"))
        }
    }

    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str> {
        Err(table::LOCAL_NETWORK)
    }

    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str> {
        Err(table::LOCAL_PERMISSION)
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        Err(table::LOCAL_ANSWER)
    }

    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef {
        let entry = self.place(name);
        self.put(&entry, username, password);
        entry
    }

    fn missing(&self) -> EntryRef {
        let entry = self.place("missing");
        if !self.one_file {
            fs::create_dir_all(&entry.path).expect("a folder");
        }
        entry
    }

    async fn held(&self, entry: &EntryRef) -> (String, String) {
        let read = |path: PathBuf| fs::read_to_string(path).expect("a text");
        if self.one_file {
            let text = read(PathBuf::from(&entry.path));
            let value = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
                line.trim_start_matches('=').trim_matches(['\'', '"']).to_owned()
            };
            return (value("SMTP_USERNAME"), value("SMTP_PASSWORD"));
        }
        let folder = PathBuf::from(&entry.path);
        (read(folder.join("SMTP_USERNAME")), read(folder.join("SMTP_PASSWORD")))
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        self.put(entry, username, password);
    }

    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str> {
        if !self.one_file {
            return Err("each file holds one value");
        }
        let text = fs::read_to_string(&entry.path).expect("a text");
        Ok(text.starts_with("# of the mailer\nSMTP_HOST=x\nSMTP_USERNAME=") && text.ends_with("\nLAST=y\n"))
    }
}

#[tokio::test]
async fn an_env_file_does_what_a_store_must() {
    table::hold("env-file", &stores::run(&Bench::new(true)).await);
}

#[tokio::test]
async fn a_folder_of_files_does_what_a_store_must() {
    table::hold("file", &stores::run(&Bench::new(false)).await);
}
