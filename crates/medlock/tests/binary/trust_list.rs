//! An alliance of three members, of whom two must sign and one may suspend, by files alone.

use crate::process::{Hub, medlock};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Alliance {
    folder: PathBuf,
}

impl Alliance {
    fn new(folder: &Path) -> Self {
        let this = Self { folder: folder.to_owned() };
        for who in ["anna", "ben", "carla", "r1", "r2", "r3", "dora"] {
            this.done(&format!("member-key {who}.key --passphrase-file {who}.pass --json"));
        }
        for maker in ["maker", "other", "third"] {
            let line = format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {maker}.priv -out {maker}.pem \
                 -subj /O={maker}/CN=Root -days 3650"
            );
            let made =
                Command::new("openssl").args(line.split_whitespace()).current_dir(folder).output().expect("openssl");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        this
    }

    fn run(&self, line: &str) -> Output {
        let arguments = line.split(' ').filter(|word| !word.is_empty());
        medlock().arg("trust-list").args(arguments).current_dir(&self.folder).output().expect("it starts")
    }

    fn done(&self, line: &str) -> Value {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Why it is refused.
    fn refused(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Edits a draft as a person would.
    fn edit(&self, draft: &str, edit: impl FnOnce(&mut toml::Table)) {
        let text = std::fs::read_to_string(self.file(draft)).expect("a draft");
        let mut table: toml::Table = text.parse().expect("TOML");
        edit(&mut table);
        std::fs::write(self.file(draft), table.to_string()).expect("written");
    }

    /// Proposes what the draft says, has it signed, and puts it together.
    fn signed(&self, draft: &str, name: &str, current: &str, signers: &[&str]) {
        self.done(&format!("propose {draft} {current} --out {name}.proposal --json"));
        self.assembled(name, current, signers, &format!("{name}.list"));
    }

    fn assembled(&self, name: &str, current: &str, signers: &[&str], out: &str) {
        for who in signers {
            let key = format!("--key {who}.key --passphrase-file {who}.pass");
            self.done(&format!("sign {name}.proposal {key} {current} --out {name}.{who} --json"));
        }
        let files: Vec<String> = signers.iter().map(|who| format!("{name}.{who}")).collect();
        self.done(&format!("assemble {name}.proposal {} {current} --out {out} --json", files.join(" ")));
    }

    /// The version behind the one before, signed by two members, in the folder `web`.
    fn published(&self, version: u32) {
        let current = format!("--current {}.list", version - 1);
        self.done(&format!("draft {current} --out {version}.toml --json"));
        self.signed(&format!("{version}.toml"), &version.to_string(), &current, &["ben", "carla"]);
        self.done(&format!("publish {version}.list web --json"));
    }

    /// A hub takes the first list, by what two of its members gave it.
    fn imported_by(&self, hub: &Hub) {
        let file = |name: &str| self.file(name).to_str().expect("UTF-8").to_owned();
        let (list, anna, carla) = (file("1.list"), file("anna.pub"), file("carla.pub"));
        hub.ask(&["trust-list", "import", &list, "--member", &anna, "--member", &carla, "--threshold", "2"]);
    }

    fn first(&self) {
        self.done(
            "draft --name Alliance --member Anna=anna.pub --member Ben=ben.pub --member Carla=carla.pub \
             --recovery R1=r1.pub --recovery R2=r2.pub --recovery R3=r3.pub --maker Maker=maker.pem \
             --threshold 2 --emergency 1 --recovery-threshold 2 --out 1.toml --json",
        );
        self.signed("1.toml", "1", "", &["anna", "carla"]);
    }
}

fn entry<'t>(table: &'t mut toml::Table, section: &str, at: usize) -> &'t mut toml::Table {
    table[section][at].as_table_mut().expect("a table")
}

/// Shows REQ-LIST-13.
#[test]
fn three_members_who_never_meet_make_a_list_and_each_command_refuses_what_verifiers_would() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = Alliance::new(folder.path());
    all.first();
    let few = all.refused("assemble 1.proposal 1.anna --out few.list");
    assert!(few.contains("1 of the") && few.contains("2 must"), "{few}");
    let stranger = all.refused("sign 1.proposal --key dora.key --passphrase-file dora.pass --out x");
    assert!(stranger.contains("no member"), "{stranger}");
    assert!(all.refused("sign 1.proposal --key anna.key --passphrase-file ben.pass --out x").contains("passphrase"));
    let verified = all.done("verify 1.list --member anna.pub --member carla.pub --threshold 2 --json");
    assert_eq!(verified["valid"], true);
    let names: Vec<&str> =
        verified["signatures"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.contains(&"Anna") && names.contains(&"Carla") && names.len() == 2, "{names:?}");
    assert_eq!(all.run("verify 1.list --member anna.pub --member ben.pub --threshold 2").status.code(), Some(1));

    // The next version: a draft of the current one, edited by a person.
    all.done("draft --current 1.list --maker Other=other.pem --out 2.toml --json");
    all.edit("2.toml", |draft| {
        let maker = entry(draft, "authority", 0);
        maker.insert("roles".into(), toml::Value::Array(vec!["sensor".into()]));
        maker.insert("names".into(), toml::Value::Array(vec!["MX-".into()]));
        maker.insert("device_types".into(), toml::Value::Array(vec![1.into(), 256.into()]));
    });
    let proposed = all.done("propose 2.toml --current 1.list --out 2.proposal --json").to_string();
    for said in ["MX-", "1, 256", "Other", "2 members of the current list"] {
        assert!(proposed.contains(said), "{said}: {proposed}");
    }
    all.assembled("2", "--current 1.list", &["ben", "carla"], "2.list");
    let old = all.refused("propose 1.toml --current 2.list --out x");
    assert!(old.contains("1.toml") && old.contains("not newer"), "{old}");
    all.edit("2.toml", |draft| {
        draft.insert("version".into(), 5_000.into());
    });
    assert!(all.refused("propose 2.toml --current 1.list --out x").contains("more than 1000 above"));
    all.edit("2.toml", |draft| {
        draft.insert("version".into(), 3.into());
        entry(draft, "authority", 0).insert("state".into(), "retired".into());
    });
    assert!(all.refused("propose 2.toml --current 2.list --out x").contains("since"), "a forgotten date");
    std::fs::write(all.file("bad.toml"), "name = \"A\"\nversion = 1\nthreshhold = 2\n").expect("written");
    let unknown = all.refused("propose bad.toml --out x");
    assert!(unknown.contains("bad.toml") && unknown.contains("threshhold"), "{unknown}");
}

/// Shows REQ-LIST-62: characters that hide what stands beside them are refused by whoever drafts, whoever signs, whoever publishes;
/// and a list of an earlier program that has them is shown with escapes.
#[test]
fn a_name_that_deceives_who_reads_it_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = Alliance::new(folder.path());
    all.first();
    for (name, prefix) in
        [("\u{1b}[8mMaker", "P-"), ("Maker", "P-\u{1b}[8m"), ("Ma\u{202e}ker", "P-"), ("Maker", "\u{85}")]
    {
        all.done("draft --current 1.list --out 2.toml --json");
        all.edit("2.toml", |draft| {
            let maker = entry(draft, "authority", 0);
            maker.insert("name".into(), name.into());
            maker.insert("names".into(), toml::Value::Array(vec![prefix.into()]));
        });
        let refused = all.refused("propose 2.toml --current 1.list --out 2.proposal");
        assert!(
            refused.contains("deceive") && refused.contains("authority ") && !refused.contains(['\u{1b}', '\u{202e}']),
            "{refused}"
        );
    }
    // Made by another program: not published, and shown as it is.
    let proposal = std::fs::read(all.file("1.proposal")).expect("a proposal");
    let at = proposal.windows(5).position(|five| five == b"Maker").expect("the maker's name");
    let mut other = proposal;
    other[at..at + 5].copy_from_slice(b"\x1b[8m.");
    std::fs::write(all.file("x.proposal"), other).expect("written");
    let refused = all.refused("sign x.proposal --key anna.key --passphrase-file anna.pass --out x");
    assert!(refused.contains("deceive"), "{refused}");
    let shown = all.run("diff 1.list x.proposal");
    let shown = String::from_utf8(shown.stdout).expect("UTF-8");
    assert!(shown.contains(r"\u{1b}[8m.") && !shown.contains('\u{1b}'), "{shown}");
}

/// Shows REQ-LIST-65: a file in which somebody signs for others, wrongly, spoils nothing; where too few have signed, it is named.
#[test]
fn a_file_with_a_wrong_signature_of_another_spoils_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = Alliance::new(folder.path());
    all.first();
    // Carla's file brings a signature in Anna's name: Anna's, of which a byte is another.
    all.done("assemble 1.proposal 1.anna 1.carla --out both --json");
    let (both, anna) =
        (std::fs::read(all.file("both")).expect("a list"), std::fs::read(all.file("1.anna")).expect("a list"));
    let signature = &anna[anna.len() - 64..];
    let at = both.windows(64).position(|part| part == signature).expect("Anna's signature");
    let mut spoilt = both.clone();
    spoilt[at] ^= 1;
    std::fs::write(all.file("spoilt"), spoilt).expect("written");
    for order in ["1.anna spoilt", "spoilt 1.anna"] {
        all.done(&format!("assemble 1.proposal {order} --out again --json"));
        assert_eq!(std::fs::read(all.file("again")).expect("a list"), both, "{order}");
    }
    let refused = all.refused("assemble 1.proposal spoilt --out again");
    assert!(refused.contains("file 1 has a wrong signature of") && refused.contains("1 of the"), "{refused}");
}

/// Shows REQ-LIST-14.
#[test]
fn a_rotation_a_fork_an_emergency_and_a_recovery() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = Alliance::new(folder.path());
    all.first();
    // Anna leaves, Dora comes: old and new sign.
    all.done("draft --current 1.list --member Dora=dora.pub --out 2.toml --json");
    all.edit("2.toml", |draft| {
        let members = draft["member"].as_array_mut().expect("members");
        members.retain(|one| one["name"].as_str() != Some("Anna"));
    });
    all.signed("2.toml", "2", "--current 1.list", &["anna", "ben", "dora"]);
    // A second list with version 2: Ben signed both.
    all.done("draft --current 1.list --out fork.toml --json");
    all.signed("fork.toml", "fork", "--current 1.list", &["ben", "carla"]);
    let diff = all.run("diff 2.list fork.list --evidence fork.json --json");
    assert_eq!(diff.status.code(), Some(1));
    let evidence: Value = serde_json::from_slice(&std::fs::read(all.file("fork.json")).unwrap()).unwrap();
    let both = evidence["signed_both"].as_array().unwrap();
    assert_eq!((both.len(), both[0]["name"].as_str()), (1, Some("Ben")));
    assert_eq!(all.run("diff 1.list 2.list").status.code(), Some(0));
    // One member suspends, and two confirm; in the second in which the maker was listed, that would be the same `since`.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    all.done("suspend --current 2.list --authority Maker --out s.proposal --json");
    all.assembled("s", "--current 2.list", &["dora"], "s.cose");
    assert!(all.refused("suspend --current 2.list --authority Maker --days 15 --out x").contains("14"));
    assert!(all.refused("suspend --current 2.list --authority Nobody --out x").contains("Nobody"));
    all.done("confirm s.cose --current 2.list --out 3.toml --json");
    all.signed("3.toml", "3", "--current 2.list", &["ben", "carla"]);
    assert!(all.done("diff 2.list 3.list --json").to_string().contains("suspended since"));
    // Two members lost their keys: the recovery keys name others.
    all.done("recover --current 3.list --out 4.toml --json");
    all.edit("4.toml", |draft| {
        draft["member"].as_array_mut().expect("members").retain(|one| one["name"].as_str() == Some("Dora"));
        draft.insert("threshold".into(), 1.into());
        draft.insert("emergency_threshold".into(), 0.into());
    });
    all.done("propose 4.toml --current 3.list --out 4.proposal --json");
    for who in ["r1", "r3", "dora", "ben"] {
        let key = format!("--key {who}.key --passphrase-file {who}.pass");
        all.done(&format!("sign 4.proposal {key} --current 3.list --out 4.{who} --json"));
    }
    let refused = all.refused("assemble 4.proposal 4.ben 4.dora 4.r1 --current 3.list --out 4.list");
    assert!(refused.contains("1 of the recovery keys"), "{refused}");
    all.done("assemble 4.proposal 4.r1 4.r3 4.dora --current 3.list --out 4.list --json");
    // Each version is published, and nothing that does not follow.
    for version in ["1", "2", "3", "4"] {
        all.done(&format!("publish {version}.list web --json"));
    }
    assert!(all.refused("publish fork.list web").contains("recovery epoch"));
    for name in ["index.json", "latest.cbor", "1.cbor", "3.cbor", "1-4.cbor", "2.delta-from-1.cbor"] {
        assert!(all.file("web").join(name).exists(), "{name}");
    }
}

/// Shows REQ-LIST-09, REQ-LIST-10.
#[test]
fn a_hub_catches_up_with_a_published_folder_takes_suspensions_and_raises_an_alarm_at_a_fork() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = Alliance::new(folder.path());
    all.first();
    all.done("publish 1.list web --json");
    for (version, members, signers) in [(2, "--member Dora=dora.pub", ["anna", "ben"]), (3, "", ["ben", "carla"])] {
        let current = format!("--current {}.list", version - 1);
        all.done(&format!("draft {current} {members} --out {version}.toml --json"));
        all.signed(&format!("{version}.toml"), &version.to_string(), &current, &signers);
        all.done(&format!("publish {version}.list web --json"));
    }
    let hub = Hub::start(folder.path());
    let web = all.file("web");
    let (web, anna, ben) = (web.to_str().unwrap(), all.file("anna.pub"), all.file("ben.pub"));
    let (anna, ben) = (anna.to_str().unwrap(), ben.to_str().unwrap());
    hub.ask(&["trust-list", "fetch", web, "--member", anna, "--member", ben, "--threshold", "1", "--most", "1"]);
    let rest = hub.ask(&["trust-list", "fetch", web]);
    assert_eq!((&rest["taken"], &rest["finished"]), (&serde_json::json!([2, 3]), &Value::Bool(true)), "{rest}");
    all.done("suspend --current 3.list --authority Maker --out s.proposal --json");
    all.assembled("s", "--current 3.list", &["carla"], "s.cose");
    hub.ask(&["trust-list", "import", all.file("s.cose").to_str().unwrap()]);
    // Another version 3.
    all.done("draft --current 2.list --maker Other=other.pem --out fork.toml --json");
    all.signed("fork.toml", "fork", "--current 2.list", &["ben", "anna"]);
    let output = medlock()
        .args(["trust-list", "import"])
        .arg(all.file("fork.list"))
        .arg("--dir")
        .arg(&hub.dir)
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let alarms = hub.ask(&["authority", "alarms"]).to_string();
    assert!(alarms.contains("trust-list-fork") && alarms.contains("Ben"), "{alarms}");
}

/// Python's web server before a folder; ended when dropped.
struct Web {
    process: std::process::Child,
    port: u16,
}

impl Web {
    fn serve(folder: &Path) -> Self {
        use std::io::{BufRead as _, BufReader};
        let mut process = Command::new("python3")
            .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"])
            .current_dir(folder)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("python3 starts");
        let mut said = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut said).expect("it says where");
        // "Serving HTTP on 127.0.0.1 port 40001 (http://…)".
        let port = said.split(' ').skip_while(|word| *word != "port").nth(1).and_then(|port| port.parse().ok());
        Self { process, port: port.unwrap_or_else(|| panic!("{said}")) }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}

/// Waits until it is so.
fn until(what: &str, is: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !is() {
        assert!(start.elapsed() < std::time::Duration::from_secs(30), "{what}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Shows REQ-TRUST-46, REQ-TRUST-47, REQ-TRUST-48, REQ-CLI-32, REQ-LIST-40, REQ-LIST-41: from a web server (Python's) and from a folder.
#[test]
fn a_hub_follows_a_published_folder_by_itself_and_keeps_what_it_has_when_that_is_tampered_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = Alliance::new(folder.path());
    all.first();
    all.done("publish 1.list web --json");
    let web = all.file("web");
    let server = Web::serve(&web);
    let mut hub = Hub::start(folder.path());
    all.imported_by(&hub);
    all.published(2);
    // One member suspends the maker.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    all.done("suspend --current 2.list --authority Maker --out s.proposal --json");
    all.assembled("s", "--current 2.list", &["anna"], "s.cose");
    all.done("publish s.cose web --json");
    assert!(all.file("web/suspensions.cbor").exists());

    hub.kill();
    hub.run_with(&format!("trust_list = [\"http://127.0.0.1:{}/\"]\n", server.port));
    let shown = || hub.ask(&["trust-list", "show", "--alliance"]);
    let field = |findings: &Value, at: usize, name: &str| {
        let fields = findings[at]["fields"].as_array().cloned().unwrap_or_default();
        fields.iter().find(|field| field["name"] == name).map(|field| field["value"].as_str().unwrap_or("").to_owned())
    };
    until("version 2 and the suspension are in force", || {
        let shown = shown();
        field(&shown, 0, "version").as_deref() == Some("2") && shown[1]["what"] == "suspension"
    });
    let suspended = field(&shown(), 1, "authority").expect("an authority");
    // People are told, once; not only those whose devices are refused.
    let told = |what: &str| {
        let alarms = hub.ask(&["authority", "alarms"])["alarms"].clone();
        let audit = hub.ask(&["authority", "audit"])["entries"].clone();
        let count = |lines: &Value, field: &str| {
            lines
                .as_array()
                .into_iter()
                .flatten()
                .filter(|line| line[field] == what && line.to_string().contains("Maker"))
                .count()
        };
        (count(&alarms, "kind"), count(&audit, "verb"))
    };
    until("people are told of the suspension", || told("issuer-suspended") == (1, 1));
    assert_eq!(told("issuer-suspension-ended"), (0, 0));

    // What is on the list, the commands of the members know too.
    let verified = all.done("verify s.cose --current 2.list --json");
    assert_eq!(
        (&verified["valid"], &verified["suspensions"][0]["suspends"][0]["name"]),
        (&true.into(), &"Maker".into())
    );
    assert!(all.refused("verify s.cose --member anna.pub").contains("--current"));
    assert_eq!(all.run("verify s.cose --current 1.list --json").status.code(), Some(0), "of the same members");
    let inspected = medlock().arg("inspect").arg(all.file("s.cose")).output().expect("it starts");
    let inspected = String::from_utf8_lossy(&inspected.stdout).into_owned();
    assert!(inspected.starts_with("suspension\n") && inspected.contains(&suspended), "{inspected}");
    for draft in [
        "draft --current 2.list --suspension s.cose --out d.toml --json",
        "draft --current web/2.cbor --out d.toml --json",
    ] {
        let drafted = all.done(draft);
        assert!(drafted["suspended"][0].as_str().is_some_and(|note| note.starts_with("\"Maker\" (")), "{drafted}");
        let text = std::fs::read_to_string(all.file("d.toml")).expect("a draft");
        assert!(text.starts_with("# NOTE: \"Maker\" (") && text.parse::<toml::Table>().is_ok(), "{text}");
    }
    // Those who sign are told too what the list ends.
    for given in ["--current 2.list --suspension s.cose", "--current web/2.cbor"] {
        let proposed = all.done(&format!("propose d.toml {given} --out d.proposal --json"));
        let ends = proposed["ends_suspensions"][0].as_str().unwrap_or_default();
        assert!(ends.starts_with("\"Maker\" (") && ends.ends_with("this list ends that"), "{proposed}");
        let key = "--key ben.key --passphrase-file ben.pass";
        let signed = all.done(&format!("sign d.proposal {key} {given} --out d.ben --json"));
        assert_eq!(signed["ends_suspensions"][0].as_str(), Some(ends));
    }

    // A list that somebody changed on the web server is not taken: what is held stays, and a person is told.
    // A suspension of the same second as a list counts beside it, so the list is of a later one.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    all.published(3);
    let place = all.file("web/3.cbor");
    let whole = std::fs::read(&place).expect("a list");
    let (mut bad, last) = (whole.clone(), whole.len() - 1);
    bad[last] ^= 1;
    std::fs::write(&place, &bad).expect("written");
    for delta in [1, 2] {
        let _ = std::fs::remove_file(all.file(&format!("web/3.delta-from-{delta}.cbor")));
    }
    // Another place, so it is looked at now.
    let reload = |lists: &str| {
        hub.configure(&format!("trust_list = [{lists}]\n"));
        let sent = Command::new("kill").args(["-HUP", &hub.id().to_string()]).status().expect("kill starts");
        assert!(sent.success());
    };
    reload(&format!("{:?}", web.to_str().expect("UTF-8")));
    let alarms = || hub.ask(&["authority", "alarms"]).to_string();
    until("there is an alarm", || alarms().contains("trust-list-refused"));
    assert!(alarms().contains("3.cbor") && alarms().contains("stays in force"), "{}", alarms());
    assert_eq!(field(&shown(), 0, "version").as_deref(), Some("2"));
    // Mended, it is taken; being newer, it ends the suspension.
    std::fs::write(&place, &whole).expect("written");
    reload(&format!("\"file://{}\"", web.display()));
    until("version 3 is in force", || field(&shown(), 0, "version").as_deref() == Some("3"));
    assert_eq!(shown().as_array().map(Vec::len), Some(1), "no suspension counts");
    until("people are told that it is over", || told("issuer-suspension-ended") == (1, 1));
    assert_eq!(told("issuer-suspended"), (1, 1));
    drop(server);
    hub.kill();
    assert!(hub.refused("trust_list = [\"https://lists.example/\"]\n").contains("http://"));
}

/// Shows REQ-LIST-42: neither who imports the first list nor who reloads waits for the next look.
#[test]
fn a_hub_looks_into_its_folder_when_the_first_list_is_imported_and_when_it_reloads() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = Alliance::new(folder.path());
    all.first();
    all.done("publish 1.list web --json");
    all.published(2);
    let mut hub = Hub::start(folder.path());
    hub.kill();
    hub.run_with(&format!("trust_list = [{:?}]\n", all.file("web")));
    all.imported_by(&hub);
    let holds = |version: &str| {
        let shown = hub.ask(&["trust-list", "show", "--alliance"]);
        let fields = shown[0]["fields"].as_array().cloned().unwrap_or_default();
        fields.iter().any(|field| field["name"] == "version" && field["value"] == version)
    };
    until("version 2 is in force", || holds("2"));
    all.published(3);
    let sent = Command::new("kill").args(["-HUP", &hub.id().to_string()]).status().expect("kill starts");
    assert!(sent.success());
    until("version 3 is in force", || holds("3"));
}

/// Shows REQ-LIST-47: a suspension that hubs refuse, because few repeat it, keeps back none of another maker, at who follows the folder
/// and at who fetches by hand.
#[test]
fn a_suspension_that_is_refused_keeps_back_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = Alliance::new(folder.path());
    all.done(
        "draft --name Alliance --member Anna=anna.pub --member Ben=ben.pub --member Carla=carla.pub \
         --recovery R1=r1.pub --recovery R2=r2.pub --recovery R3=r3.pub --maker Maker=maker.pem --maker Other=other.pem \
         --maker Third=third.pem --threshold 2 --emergency 1 --recovery-threshold 2 --out 1.toml --json",
    );
    all.signed("1.toml", "1", "", &["anna", "carla"]);
    all.done("publish 1.list web --json");
    let mut hub = Hub::start(folder.path());
    all.imported_by(&hub);
    hub.kill();
    let web = all.file("web");
    hub.run_with(&format!("trust_list = [{:?}]\n", web.to_str().expect("UTF-8")));
    let look = || {
        let sent = Command::new("kill").args(["-HUP", &hub.id().to_string()]).status().expect("kill starts");
        assert!(sent.success());
    };
    // Each of a second of its own: what is as old as a list counts beside it.
    let later = || std::thread::sleep(std::time::Duration::from_millis(1_100));
    let suspend = |name: &str, list: u32, maker: &str| {
        later();
        all.done(&format!("suspend --current {list}.list --authority {maker} --out {name}.proposal --json"));
        all.assembled(name, &format!("--current {list}.list"), &["anna"], &format!("{name}.cose"));
        all.done(&format!("publish {name}.cose web --json"));
    };
    let shown = || hub.ask(&["trust-list", "show", "--alliance"]).to_string();
    suspend("s1", 1, "Maker");
    look();
    until("the maker is suspended", || shown().contains("suspension"));
    later();
    all.published(2);
    look();
    until("the list has ended it", || !shown().contains("suspension"));
    suspend("s2", 2, "Maker");
    suspend("s3", 2, "Other");
    look();
    let alarms = || hub.ask(&["authority", "alarms"]).to_string();
    until("the refused one is told", || alarms().contains("trust-list-refused"));
    until("the other is suspended behind it", || shown().contains("suspension"));
    suspend("s4", 2, "Third");
    let by_hand =
        medlock().args(["trust-list", "fetch"]).arg(&web).arg("--dir").arg(&hub.dir).output().expect("it starts");
    let said = String::from_utf8_lossy(&by_hand.stdout).into_owned();
    assert!(!by_hand.status.success() && said.contains("Third") && !said.contains("Maker"), "{by_hand:?}");
}

/// Shows REQ-LIST-63: a list that is refused keeps back no emergency, at who follows the folder and at who fetches by hand.
#[test]
fn a_list_that_is_refused_keeps_back_no_suspension() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = Alliance::new(folder.path());
    all.done(
        "draft --name Alliance --member Anna=anna.pub --member Ben=ben.pub --member Carla=carla.pub \
         --recovery R1=r1.pub --recovery R2=r2.pub --recovery R3=r3.pub --maker Maker=maker.pem --maker Other=other.pem \
         --threshold 2 --emergency 1 --recovery-threshold 2 --out 1.toml --json",
    );
    all.signed("1.toml", "1", "", &["anna", "carla"]);
    all.done("publish 1.list web --json");
    let mut hub = Hub::start(folder.path());
    all.imported_by(&hub);
    hub.kill();
    let web = all.file("web");
    hub.run_with(&format!("trust_list = [{:?}]\n", web.to_str().expect("UTF-8")));
    // A list that nobody has signed like this.
    all.published(2);
    for name in ["2.cbor", "2.delta-from-1.cbor"] {
        let mut bytes = std::fs::read(web.join(name)).expect("it is published");
        *bytes.last_mut().expect("a byte") ^= 1;
        std::fs::write(web.join(name), bytes).expect("written");
    }
    let suspend = |name: &str, maker: &str| {
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        all.done(&format!("suspend --current 2.list --authority {maker} --out {name}.proposal --json"));
        all.assembled(name, "--current 2.list", &["anna"], &format!("{name}.cose"));
        all.done(&format!("publish {name}.cose web --json"));
    };
    let suspended = |maker: &str| hub.ask(&["authority", "alarms"]).to_string().contains(&format!("{maker} ("));
    suspend("s1", "Maker");
    let sent = Command::new("kill").args(["-HUP", &hub.id().to_string()]).status().expect("kill starts");
    assert!(sent.success());
    until("the list is refused", || hub.ask(&["authority", "alarms"]).to_string().contains("trust-list-refused"));
    until("the maker is suspended", || suspended("Maker"));
    suspend("s2", "Other");
    let by_hand =
        medlock().args(["trust-list", "fetch"]).arg(&web).arg("--dir").arg(&hub.dir).output().expect("it starts");
    assert!(!by_hand.status.success());
    let said = String::from_utf8_lossy(&by_hand.stdout).into_owned();
    assert!(said.contains("suspended: Other") && !said.contains("no newer"), "{said}");
}
