//! Tests of the problems that are reported when the tables of a Tekton backend are read.

use wardroom_tekton::TektonFactory;

use crate::harness::read;

const SYSTEM: &str = "kubeconfig = 'kube.config'\nnamespace = 'ci'";

fn problems(system: &str, path: &str, keys: &str) -> Vec<String> {
    let factory = TektonFactory::new("/nowhere".into());
    read(&factory, std::path::Path::new("/nowhere"), system, path, keys).err().unwrap_or_default()
}

#[test]
fn a_complete_configuration_is_accepted() {
    let more = "\ncontext = 'staging'\ntimeout = '5s'\nnamespaces = ['team-a']\nlink = 'https://t.example.org/{namespace}/{run}'";
    assert_eq!(problems(&format!("{SYSTEM}{more}"), "team-a/deploy", "values = { TAG = 'v{version}' }"), [""; 0]);
    assert_eq!(problems(SYSTEM, "deploy", ""), [""; 0], "`version` is passed under its own name");
    assert_eq!(problems("in_cluster = true\nnamespace = 'ci'", "deploy", ""), [""; 0]);
}

#[test]
fn a_problem_names_its_line_and_the_line_to_write() {
    let example = "kubeconfig = \"kube.config\"   (or in_cluster = true)";
    for (system, expected) in [
        (
            "namespace = 'ci'",
            format!("plugins.toml:1: [pipelines.cluster] has neither `kubeconfig` nor `in_cluster = true`\n    write: {example}"),
        ),
        (
            "namespace = 'ci'\nkubeconfig = 'x'\nin_cluster = true",
            format!("plugins.toml:2: [pipelines.cluster] has both `kubeconfig` and `in_cluster`; only one is allowed\n    write: {example}"),
        ),
        (
            "namespace = 'ci'\nin_cluster = true\ncontext = 'x'",
            format!("plugins.toml:3: [pipelines.cluster] has a `context`, but no `kubeconfig`\n    write: {example}"),
        ),
        (
            "kubeconfig = 'x'",
            "plugins.toml:1: [pipelines.cluster] has no `namespace`\n    write: namespace = \"ci\"".to_owned(),
        ),
        (
            "kubeconfig = 'x'\nnamespace = 'CI'",
            "plugins.toml:2: `CI` is not the name of a Kubernetes namespace\n    write: namespace = \"ci\"   (lower-case letters, digits and `-`)".to_owned(),
        ),
        (
            "kubeconfig = 'x'\nnamespace = 'ci'\nlink = 'tekton'",
            "plugins.toml:3: `pipelines.cluster.link` is not an http or https URL\n    write: link = \"https://tekton.example.org/#/namespaces/{namespace}/pipelineruns/{run}\"".to_owned(),
        ),
    ] {
        assert_eq!(problems(system, "deploy", ""), [expected], "{system}");
    }
    let unknown = problems(&format!("{SYSTEM}\nlink = 'https://t.example.org/{{name}}'"), "deploy", "");
    assert!(unknown[0].contains("names the parameter `name`"), "{unknown:?}");
}

#[test]
fn a_kubeconfig_that_needs_a_program_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let text = "clusters:\n- name: c\n  cluster: {server: 'https://k8s.example.org'}\ncontexts:\n- name: dev\n  context: \
                {cluster: c, user: u}\ncurrent-context: dev\nusers:\n- name: u\n  user:\n    exec: {command: aws, \
                apiVersion: client.authentication.k8s.io/v1}\n";
    let path = folder.path().join("kube.config");
    std::fs::write(&path, text).unwrap();
    let factory = TektonFactory::new("/nowhere".into());
    let found = read(&factory, folder.path(), SYSTEM, "deploy", "").err().unwrap_or_default();
    let expected = format!(
        "plugins.toml:1: the user `u` of the kubeconfig {} has an `exec` plugin, and the host starts no program to get \
         credentials; use a token file or a client certificate",
        path.display()
    );
    assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:#?}");
}

#[test]
fn a_pipeline_with_problems_is_rejected() {
    for (path, keys, expected) in [
        ("Deploy", "", "`Deploy` is not the name of a Pipeline"),
        ("ci/", "", "`ci/` is not the name of a Pipeline"),
        ("ci/../deploy", "", "`ci/../deploy` is not the name of a Pipeline"),
        (
            "prod/deploy",
            "",
            "[pipelines.cluster] does not allow the namespace `prod`\n    write: namespaces = [\"prod\"]   (in \
             [pipelines.cluster])",
        ),
        ("deploy", "values = { TAG = '{version}{versoin}' }", "names the parameter `versoin`"),
        ("deploy", "values = { TAG = ['{version}', 1] }", "must be a list of strings"),
        ("deploy", "values = { TAG = { a = '{version}', b = 1 } }", "must be a string"),
        ("deploy", "values = { version = '1.0', X = '{{version}}' }", "`values` sets `version`, but does not use"),
        (
            "deploy",
            "service_account = 'a b'",
            "`app.cms.deploy.staging.service_account` is not the name of a Kubernetes object",
        ),
        (
            "deploy",
            "timeouts = { pipeline = '1h', tasks = '50m', finally = '11m' }",
            "the timeouts `tasks` and `finally` together are longer than `pipeline`",
        ),
        (
            "deploy",
            "workspaces = { source = { claim = 'a', secret = 'b' } }",
            "[app.cms.deploy.staging.workspaces.source] needs exactly one of `claim`, `size`, `empty_dir`, `config_map` and \
             `secret`",
        ),
        (
            "deploy",
            "workspaces = { source = { secret = 'b', sub_path = 'x' } }",
            "`sub_path` is only allowed with `claim`",
        ),
        (
            "deploy",
            "workspaces = { source = { claim = 'b', storage_class = 'x' } }",
            "`storage_class` is only allowed with `size`",
        ),
    ] {
        let found = problems(SYSTEM, path, keys);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{path} {keys}: {found:#?}");
    }
}
