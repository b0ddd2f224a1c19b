use std::path::Path;

use super::*;
use crate::config::Node;
use crate::config::inventory::SecretRef;

fn options(text: &str) -> Result<ClusterOptions, String> {
    let node = Node::from_yaml("test.yaml", Path::new("/etc/handover"), text).unwrap_or_else(|p| panic!("{p}"));
    let mut fields = Fields::new(&node, "store `cluster`");
    let read = KubernetesStore::options(&mut fields);
    let problems = fields.finish();
    read.filter(|_| !problems.has_errors()).ok_or_else(|| problems.to_string())
}

const SOUND: &str = "address: https://10.0.0.1:6443\nca_file: ca.crt\nnamespace: mail\ntoken: {file: token}\n";

#[test]
fn kubernetes_options_are_read_and_mistakes_are_told() {
    let read = options(SOUND).expect("they are sound");
    assert_eq!(read.namespace, "mail");
    assert_eq!(read.token, SecretRef::File("/etc/handover/token".into()));
    for (part, by, says) in [
        ("namespace: mail", "namespace: Mail", "no name of a namespace"),
        ("namespace: mail", "namespace: ../x", "no name of a namespace"),
        ("namespace: mail\n", "", "lacks the key `namespace`"),
        ("namespace", "namspace", "did you mean `namespace`"),
        ("token: {file: token}", "token: {path: token}", "cannot be read from `path`"),
    ] {
        let problems = options(&SOUND.replace(part, by)).expect_err(by);
        assert!(problems.contains(says), "{by}: {problems}");
    }
}
