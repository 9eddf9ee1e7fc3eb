//! The container file, line by line, against what it packs: images of others are not fetched by a test.

use crate::process::Process;
use std::collections::HashMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Libraries of Debian's smallest images.
const LIBRARIES: [&str; 6] = ["linux-vdso", "libc.so", "libm.so", "libgcc_s.so", "libpthread.so", "ld-linux"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What follows each instruction, of all stages.
fn instructions(file: &str) -> HashMap<&str, Vec<&str>> {
    let mut found: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        if let Some((instruction, rest)) = line.split_once(' ') {
            found.entry(instruction).or_default().push(rest);
        }
    }
    found
}

/// Shows REQ-RUN-61: the images, paths, user, folders, doors and arguments of the container file are those of the toolchain, the profile,
/// the unit, the guide and the program, which runs with them as that user.
#[test]
fn the_container_file_fits_the_program() {
    let file = read("packaging/Containerfile");
    let says = instructions(&file);
    let one = |instruction: &str| match says[instruction].as_slice() {
        [only] => *only,
        several => panic!("{instruction}: {several:?}"),
    };
    let [build, image] = says["FROM"][..] else { panic!("two stages") };
    let channel = read("rust-toolchain.toml");
    let channel =
        channel.lines().find_map(|line| line.strip_prefix("channel = ")).expect("a channel").trim_matches('"');
    let (version, debian) =
        build.split_once("rust:").and_then(|(_, tag)| tag.split_once("-slim-")).expect("a slim image");
    assert!(
        channel == version || channel.starts_with(&format!("{version}.")),
        "{build}, and the toolchain is {channel}"
    );
    // What is linked to a newer libc than it meets does not start.
    assert_eq!(
        debian.strip_suffix(" AS build"),
        image.split_once("debian:").and_then(|(_, tag)| tag.strip_suffix("-slim"))
    );
    assert!(read("Cargo.toml").contains("\n[profile.dist]\n"));
    assert!(says["RUN"].contains(&"cargo build --locked --profile dist -p medlock"));
    let copied = format!("--from=build {}/target/dist/medlock /usr/bin/medlock", one("WORKDIR"));
    assert_eq!(says["COPY"], [". .", &copied]);
    let linked = Command::new("ldd").arg(env!("CARGO_BIN_EXE_medlock")).output().expect("ldd starts").stdout;
    let linked = String::from_utf8_lossy(&linked);
    for library in linked.lines().map(str::trim) {
        assert!(LIBRARIES.iter().any(|known| library.contains(known)), "the image has not {library}");
    }

    // The user, as the line makes it.
    let folder = tempfile::Builder::new().prefix("medlock-container").tempdir_in("/tmp").expect("a folder");
    let root = folder.path();
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o755)).expect("the test runs as root");
    std::fs::create_dir_all(root.join("etc")).expect("a folder");
    std::fs::create_dir_all(root.join("var/lib")).expect("a folder");
    for name in ["passwd", "group", "shadow", "gshadow"] {
        std::fs::write(root.join("etc").join(name), "").expect("written");
    }
    let line = says["RUN"].iter().find(|line| line.starts_with("useradd ")).expect("a user");
    let home = "/var/lib/medlock";
    let here = root.join("var/lib/medlock");
    let line = line.replacen("useradd ", &format!("useradd --prefix {} ", root.display()), 1);
    let line = line.replace(&format!("chmod 0700 {home}"), &format!("chmod 0700 {}", here.display()));
    assert!(Command::new("sh").args(["-c", &line]).status().expect("sh starts").success(), "{line}");
    let users = std::fs::read_to_string(root.join("etc/passwd")).expect("users");
    let user: Vec<&str> = users.lines().next().expect("a user").split(':').collect();
    assert_eq!((user[0], user[5], one("USER"), one("VOLUME")), ("medlock", home, "medlock", home));
    let made = std::fs::metadata(&here).expect("a home");
    let (id, group) = (user[2].parse().expect("a number"), user[3].parse().expect("a number"));
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (id, group, 0o700));
    let unit = read("packaging/systemd/medlock-hub.service");
    for line in ["User=medlock", "StateDirectory=medlock", "StateDirectoryMode=0700"] {
        assert!(unit.lines().any(|one| one == line), "the unit has another {line}");
    }

    let guide = read("docs/operating.md");
    for (door, port) in [("devices", "8443"), ("people", "8080"), ("coap", "5683/udp")] {
        assert!(one("EXPOSE").split(' ').any(|exposed| exposed == port), "{port}");
        let number = port.split('/').next().expect("a number");
        let is_door = |line: &str| line.starts_with(&format!("{door} = \"")) && line.contains(&format!(":{number}\""));
        assert!(guide.lines().any(is_door), "{door} is elsewhere in the guide");
    }

    // The program with these arguments, as this user. What is added makes it say where it listens.
    let words = |instruction| serde_json::from_str::<Vec<String>>(one(instruction)).expect("words");
    let [program] = &words("ENTRYPOINT")[..] else { panic!("a program") };
    assert_eq!(program, "/usr/bin/medlock");
    let config = here.join("medlock.toml");
    let text = format!("[hub]\ndir = {:?}\ndevices = \"127.0.0.1:0\"\npeople = \"127.0.0.1:0\"\n", here.join("hub"));
    std::fs::write(&config, text).expect("written");
    std::os::unix::fs::chown(&config, Some(id), Some(group)).expect("the test runs as root");
    let arguments = words("CMD");
    assert!(arguments.contains(&"/etc/medlock/medlock.toml".to_owned()));
    let config = config.display().to_string();
    let arguments = arguments.iter().map(|word| if word == "/etc/medlock/medlock.toml" { &config } else { word });
    let copy = root.join("medlock");
    std::fs::copy(env!("CARGO_BIN_EXE_medlock"), &copy).expect("copied");
    let mut command = Command::new(&copy);
    command.args(arguments).args(["--json", "--with-parent"]).uid(id).gid(group);
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    let mut hub = Process::start(&mut command);
    let people = hub.event("up")["people"].as_str().expect("an address").to_owned();
    let ready =
        Command::new("curl").args(["-sf", "--max-time", "20", &format!("http://{people}/health/ready")]).output();
    assert_eq!(ready.expect("curl starts").stdout, b"ready\n");
    assert_eq!(std::fs::metadata(here.join("hub")).expect("its state").uid(), id);
}
