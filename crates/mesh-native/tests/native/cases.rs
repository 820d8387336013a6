//! The tests themselves.

use crate::{
    Case,
    bed::{self, Bed, DEADLINE, with_bed},
    holder, root_file_system,
};
use mesh_model::{
    container::ContainerSpec,
    mount::{FileMount, Mount, MountSource},
    network::{PortMapping, Protocol, Published},
    project::{FileSource, Volume},
    service::NetworkMode,
};
use mesh_redact::Secret;
use mesh_runtime::{
    Runtime as _,
    error::RuntimeError,
    exec::{ExecRequest, RunStreams, Verdict},
    observed::ObservedState,
};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt as _},
    process::Command,
    time::{Duration, Instant},
};

/// All of them.
pub(crate) const ALL: &[Case] = &[
    ("a_process_runs_to_its_end", || with_bed(a_process_runs_to_its_end)),
    ("a_one_off_has_its_callers_streams", || with_bed(a_one_off_has_its_callers_streams)),
    ("a_program_that_is_not_there_is_named", || with_bed(a_program_that_is_not_there_is_named)),
    ("volumes_outlive_containers", || with_bed(volumes_outlive_containers)),
    ("secrets_are_files", || with_bed(secrets_are_files)),
    ("health_tests_run_inside", || with_bed(health_tests_run_inside)),
    ("containers_are_isolated", || with_bed(containers_are_isolated)),
    ("signals_pause_and_counts", || with_bed(signals_pause_and_counts)),
    ("networks_have_names_and_walls", || with_bed(networks_have_names_and_walls)),
    ("ports_are_published", || with_bed(ports_are_published)),
    ("a_taken_port_names_its_holder", || with_bed(a_taken_port_names_its_holder)),
    ("a_holder_ends_with_a_ground_that_cannot_be_opened", holder::ends_with_a_ground_that_cannot_be_opened),
    ("the_next_runtime_adopts", || with_bed(the_next_runtime_adopts)),
    ("a_killed_shim_is_seen", || with_bed(a_killed_shim_is_seen)),
    ("a_run_without_a_record_is_ended", || with_bed(a_run_without_a_record_is_ended)),
    ("torn_records_are_survived", || with_bed(torn_records_are_survived)),
    ("an_ordinary_user_has_it_too", an_ordinary_user_has_it_too),
    ("many_start_at_once", || with_bed(many_start_at_once)),
];

/// Asks a server by its address. (A static program cannot look up names as others do.)
fn get(address: IpAddr, port: u16) -> String {
    format!("printf 'GET /seed HTTP/1.0\\r\\n\\r\\n' | nc -w 1 {address} {port} | grep image")
}

/// What keeps a container alive until it is told to end.
const WAIT: &str = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";

async fn a_process_runs_to_its_end(mut bed: Bed) -> Bed {
    let mut spec = bed.spec("job", "echo \"$GREETING from $(id -u) in $(hostname)\"; exit 7");
    spec.service.environment.insert("GREETING".to_owned(), "hello".to_owned());
    spec.service.process.user = Some("app".to_owned());
    spec.service.network.hostname = Some("desk".to_owned());
    let begun = Instant::now();
    let started = bed.start(&spec).await.expect("starts");
    println!("    first start took {:?}", begun.elapsed());
    assert!(started.pid > 0 && started.ports.is_empty());
    let exit = bed.exit(&spec.id).await;
    assert_eq!((exit.code, exit.out_of_memory), (7, false));
    let observed = bed.runtime.containers().await.expect("lists");
    assert_eq!(observed.len(), 1);
    assert_eq!(observed[0].state, ObservedState::Exited(exit));
    let journal = bed.journal(&spec);
    assert!(journal.contains("hello from 1000 in desk"), "{journal}");
    let mut took = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        bed.runtime.start(&spec.id, None).await.expect("starts again");
        took.push(begun.elapsed());
        assert_eq!(bed.exit(&spec.id).await.code, 7);
    }
    took.sort();
    println!("    a start takes {:?}", took[2]);
    bed
}

async fn a_one_off_has_its_callers_streams(mut bed: Bed) -> Bed {
    let mut spec = bed.spec("once", "read word; echo \"heard $word\"");
    spec.one_off = true;
    bed.make(&spec).await.expect("makes");
    let (stdin, mut speak) = std::io::pipe().expect("pipe");
    let (mut hear, stdout) = std::io::pipe().expect("pipe");
    let stderr = stdout.try_clone().expect("descriptor").into();
    let streams = RunStreams { stdin: stdin.into(), stdout: stdout.into(), stderr, detach_keys: Vec::new() };
    bed.runtime.start(&spec.id, Some(streams)).await.expect("starts");
    speak.write_all(b"swordfish\n").expect("speaks");
    let mut heard = String::new();
    hear.read_to_string(&mut heard).expect("hears to the end");
    assert_eq!(heard, "heard swordfish\n");
    assert_eq!(bed.exit(&spec.id).await.code, 0);
    assert_eq!(bed.journal(&spec), "", "nothing of it is kept");
    bed
}

async fn a_program_that_is_not_there_is_named(mut bed: Bed) -> Bed {
    let mut spec = bed.spec("absent", "");
    spec.image.config.command = vec!["/bin/absent".to_owned()];
    let error = bed.start(&spec).await.expect_err("cannot start");
    assert!(matches!(&error, RuntimeError::Execute { program, .. } if program == "/bin/absent"), "{error:?}");
    let observed = bed.runtime.containers().await.expect("lists");
    assert!(matches!(observed[0].state, ObservedState::Created | ObservedState::Exited(_)), "{observed:?}");
    assert!(matches!(bed.runtime.signal(&spec.id, 15).await, Err(RuntimeError::NotRunning)));
    bed
}

fn with_volume(bed: &Bed, spec: &mut ContainerSpec, target: &str) -> Volume {
    let volume = Volume {
        key: "data".to_owned(),
        name: format!("{}_data", bed.settings.project),
        external: false,
        driver: "local".to_owned(),
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
    };
    let source = MountSource::Volume { key: "data".to_owned(), subpath: None, nocopy: false };
    spec.service.mounts.push(Mount { source, target: target.to_owned(), read_only: false });
    spec.resources.volumes.insert("data".to_owned(), volume.clone());
    volume
}

async fn volumes_outlive_containers(mut bed: Bed) -> Bed {
    let mut first = bed.spec("first", "cat /data/seed && stat -c %u /data && echo kept > /data/file");
    first.service.process.user = Some("app".to_owned());
    let volume = with_volume(&bed, &mut first, "/data");
    bed.runtime.create_volume(&volume).await.expect("makes the volume");
    bed.start(&first).await.expect("starts");
    assert_eq!(bed.exit(&first.id).await.code, 0, "{}", bed.journal(&first));
    let journal = bed.journal(&first);
    assert!(journal.contains("from the image") && journal.contains("1000"), "{journal}");
    bed.runtime.remove(&first.id, true).await.expect("removes");
    let mut second = bed.spec("second", "cat /data/file");
    with_volume(&bed, &mut second, "/data");
    bed.start(&second).await.expect("starts");
    assert_eq!(bed.exit(&second.id).await.code, 0);
    assert!(bed.journal(&second).contains("kept"));
    assert_eq!(bed.runtime.volumes().await.expect("lists").len(), 1);
    bed.runtime.remove_volume(&volume.name).await.expect("removes");
    assert!(bed.runtime.volumes().await.expect("lists").is_empty());
    bed
}

async fn secrets_are_files(mut bed: Bed) -> Bed {
    let mut spec = bed.spec("vault", "stat -c '%a %u' /run/secrets/token; cat /run/secrets/token /etc/motd");
    spec.service.secrets = vec![FileMount {
        source: "token".to_owned(),
        target: "/run/secrets/token".to_owned(),
        uid: Some("1000".to_owned()),
        gid: None,
        mode: 0o400,
    }];
    let content = Secret::new("swordfish\n".to_owned());
    spec.resources.secrets.insert("token".to_owned(), FileSource::Content(content));
    let motd = bed.settings.state.join("motd");
    fs::write(&motd, "welcome\n").expect("writes");
    spec.service.configs = vec![FileMount {
        source: "motd".to_owned(),
        target: "/etc/motd".to_owned(),
        uid: None,
        gid: None,
        mode: 0o444,
    }];
    spec.resources.configs.insert("motd".to_owned(), FileSource::File(motd));
    bed.start(&spec).await.expect("starts");
    assert_eq!(bed.exit(&spec.id).await.code, 0, "{}", bed.journal(&spec));
    let journal = bed.journal(&spec);
    for want in ["400 1000", "swordfish", "welcome"] {
        assert!(journal.contains(want), "{want} in {journal}");
    }
    bed
}

async fn health_tests_run_inside(mut bed: Bed) -> Bed {
    let spec = bed.spec("web", WAIT);
    bed.start(&spec).await.expect("starts");
    let begun = Instant::now();
    let passed = bed.ask(&spec, "echo fine; ls / >/dev/null").await;
    println!("    probe took {:?} (by its own count {:?})", begun.elapsed(), passed.took);
    assert_eq!((passed.verdict, passed.output.trim()), (Verdict::Passed, "fine"));
    let failed = bed.ask(&spec, "echo no >&2; exit 3").await;
    assert_eq!((failed.verdict, failed.output.trim()), (Verdict::Failed(3), "no"));
    let mut probe = mesh_model::health::Probe {
        test: mesh_model::health::HealthTest::Command(vec!["sleep".to_owned(), "60".to_owned()]),
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(100),
        retries: 1,
        start_period: Duration::ZERO,
        start_interval: None,
    };
    assert_eq!(bed.runtime.probe(&spec.id, &probe).await.verdict, Verdict::TimedOut);
    probe.test = mesh_model::health::HealthTest::Command(vec!["/bin/absent".to_owned()]);
    let absent = bed.runtime.probe(&spec.id, &probe).await;
    assert!(matches!(absent.verdict, Verdict::Failed(126 | 127) | Verdict::NotRun), "{absent:?}");
    let request = ExecRequest {
        command: vec!["true".to_owned()],
        environment: [("PASSWORD".to_owned(), "swordfish".to_owned())].into(),
        user: None,
        working_dir: None,
        tty: false,
        privileged: false,
        detach: false,
    };
    let invocation = bed.runtime.exec(&spec.id, &request).await.expect("can be run");
    assert_eq!(invocation.arguments[..2], ["shim", "exec"]);
    assert!(invocation.payload.contains("swordfish"));
    let flood = bed.ask(&spec, "while :; do echo 0123456789012345678901234567890123456789; done | head -c 99999 2>/dev/null || true").await;
    assert!(flood.output.len() <= mesh_runtime::exec::PROBE_OUTPUT_BYTES_MAX);
    bed
}

async fn containers_are_isolated(mut bed: Bed) -> Bed {
    let outside = bed.settings.state.join("outside");
    fs::write(&outside, "of the machine\n").expect("writes");
    let mut spec = bed.spec("cell", WAIT);
    spec.service.security.read_only = true;
    bed.start(&spec).await.expect("starts");
    for (line, verdict) in [
        (format!("cat {}", outside.display()), false),
        ("touch /file".to_owned(), false),
        ("ls /sys/class/net | grep -v lo".to_owned(), false),
        (format!("test $(ls -d /proc/[0-9]* | wc -l) -lt {}", 12), true),
        ("mount -t tmpfs x /tmp".to_owned(), false),
    ] {
        let outcome = bed.ask(&spec, &line).await;
        assert_eq!(outcome.verdict == Verdict::Passed, verdict, "{line}: {outcome:?}");
    }
    bed
}

async fn signals_pause_and_counts(mut bed: Bed) -> Bed {
    let mut spec = bed.spec("web", WAIT);
    spec.service.limits.memory_bytes = Some(64 << 20);
    spec.service.limits.pids = Some(100);
    let started = bed.start(&spec).await.expect("starts");
    let usage = bed.runtime.usage(&spec.id).await.expect("counts");
    if bed.runtime.capabilities().missing.iter().all(|line| !line.contains("memory")) {
        assert_eq!(usage.memory_limit_bytes, 64 << 20);
        assert!(usage.memory_bytes > 0 && usage.pids > 0, "{usage:?}");
    }
    let processes = bed.runtime.processes(&spec.id).await.expect("lists");
    assert!(processes.iter().any(|process| process.pid == started.pid), "{processes:?}");
    bed.runtime.pause(&spec.id).await.expect("freezes");
    let observed = bed.runtime.containers().await.expect("lists");
    assert!(matches!(observed[0].state, ObservedState::Running { paused: true, .. }));
    assert_eq!(bed.ask(&spec, "true").await.verdict, Verdict::NotRun);
    bed.runtime.unpause(&spec.id).await.expect("thaws");
    assert_eq!(bed.ask(&spec, "true").await.verdict, Verdict::Passed);
    bed.runtime.signal(&spec.id, 15).await.expect("is told");
    assert_eq!(bed.exit(&spec.id).await.code, 0);
    bed.runtime.start(&spec.id, None).await.expect("starts again");
    bed.runtime.pause(&spec.id).await.expect("freezes");
    bed.runtime.signal(&spec.id, 9).await.expect("is killed");
    assert_eq!(bed.exit(&spec.id).await.code, 137);
    bed
}

async fn networks_have_names_and_walls(mut bed: Bed) -> Bed {
    let mut server = bed.spec("server", "httpd -f -p 80 -h /data");
    bed.join(&mut server, "front").await;
    let mut client = bed.spec("client", WAIT);
    bed.join(&mut client, "front").await;
    let mut stranger = bed.spec("stranger", WAIT);
    bed.join(&mut stranger, "back").await;
    let mut sharer = bed.spec("sharer", WAIT);
    sharer.service.network.mode = NetworkMode::Service("server".to_owned());
    let started = bed.start(&server).await.expect("starts");
    let address = started.addresses["front"];
    for spec in [&client, &stranger, &sharer] {
        bed.start(spec).await.expect("starts");
    }
    for name in ["server", server.id.short(), server.name.as_str()] {
        let found = bed.until(&client, &format!("nslookup -type=a {name} 127.0.0.11")).await;
        assert!(found.contains(&address.to_string()), "{name}: {found}");
    }
    let page = bed.until(&client, &get(address, 80)).await;
    assert!(page.contains("from the image"), "{page}");
    bed.until(&sharer, &get(Ipv4Addr::LOCALHOST.into(), 80)).await;
    for line in [get(address, 80), "nslookup -type=a server 127.0.0.11".to_owned()] {
        let refused = bed.ask(&stranger, &line).await;
        assert!(matches!(refused.verdict, Verdict::Failed(1) | Verdict::TimedOut), "{line}: {refused:?}");
    }
    let hosts = bed.until(&server, "cat /etc/hosts").await;
    assert!(hosts.contains(&format!("{address}\t{}", server.id.short())), "{hosts}");
    bed
}

async fn ports_are_published(mut bed: Bed) -> Bed {
    let mut spec = bed.spec("web", "httpd -f -p 8080 -h /data");
    bed.join(&mut spec, "default").await;
    spec.service.network.ports = vec![bed::port(8080)];
    let started = bed.start(&spec).await.expect("starts");
    let address = started.ports[0].host;
    assert!(
        tokio::task::spawn_blocking(move || fetch(address)).await.expect("asks").contains("from the image")
    );
    bed.runtime.signal(&spec.id, 9).await.expect("is killed");
    bed.exit(&spec.id).await;
    assert!(TcpListener::bind(address).is_ok(), "the port is free again");
    bed
}

/// What a published server answers, once it does.
fn fetch(address: SocketAddr) -> String {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut answer = String::new();
        let asked = TcpStream::connect_timeout(&address, DEADLINE).and_then(|mut stream| {
            stream.set_read_timeout(Some(DEADLINE))?;
            stream.write_all(b"GET /seed HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut answer)
        });
        if asked.is_ok() && !answer.is_empty() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{address}: {asked:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn a_taken_port_names_its_holder(mut bed: Bed) -> Bed {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    let mapping = PortMapping {
        host_ip: Some(address.ip()),
        published: Published::Port(address.port()),
        target: 80,
        protocol: Protocol::Tcp,
    };
    let mut spec = bed.spec("web", WAIT);
    bed.join(&mut spec, "default").await;
    spec.service.network.ports = vec![mapping];
    let error = bed.start(&spec).await.expect_err("cannot publish");
    let RuntimeError::PortTaken { holder: Some(holder), .. } = &error else { panic!("{error:?}") };
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    drop(listener);
    bed.runtime.start(&spec.id, None).await.expect("starts when the port is free");
    let mut other = bed.spec("other", WAIT);
    bed.join(&mut other, "default").await;
    other.service.network.ports = spec.service.network.ports.clone();
    let error = bed.start(&other).await.expect_err("cannot publish");
    let RuntimeError::PortTaken { holder: Some(holder), .. } = &error else { panic!("{error:?}") };
    assert_eq!(*holder, format!("service web of project {}", bed.settings.project));
    bed
}

async fn the_next_runtime_adopts(mut bed: Bed) -> Bed {
    let mut server = bed.spec("server", "httpd -f -p 8080 -h /data");
    bed.join(&mut server, "default").await;
    server.service.network.ports = vec![bed::port(8080)];
    let mut client = bed.spec("client", WAIT);
    bed.join(&mut client, "default").await;
    let started = bed.start(&server).await.expect("starts");
    bed.start(&client).await.expect("starts");
    let mut bed = bed.reopened().await;
    let observed = bed.runtime.containers().await.expect("lists");
    let again = observed.iter().find(|found| found.spec.id == server.id).expect("is there");
    assert!(matches!(again.state, ObservedState::Running { pid, .. } if pid == started.pid), "{again:?}");
    assert_eq!((&again.ports, &again.addresses), (&started.ports, &started.addresses));
    let address = started.ports[0].host;
    assert!(
        tokio::task::spawn_blocking(move || fetch(address)).await.expect("asks").contains("from the image")
    );
    bed.until(&client, "nslookup -type=a server 127.0.0.11").await;
    let inside = started.addresses["default"];
    bed.until(&client, &get(inside, 8080)).await;
    bed.runtime.signal(&client.id, 15).await.expect("is told");
    assert_eq!(bed.exit(&client.id).await.code, 0);
    bed
}

async fn a_killed_shim_is_seen(mut bed: Bed) -> Bed {
    let mut spec = bed.spec("web", WAIT);
    bed.join(&mut spec, "default").await;
    let started = bed.start(&spec).await.expect("starts");
    let record = fs::read_to_string(bed.directory(&spec).join("run.json")).expect("is there");
    let record: serde_json::Value = serde_json::from_str(&record).expect("parses");
    let shim = record["value"]["shim"]["pid"].as_i64().expect("a number");
    let shim = nix::unistd::Pid::from_raw(i32::try_from(shim).expect("a pid"));
    nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).expect("kills");
    assert_eq!(bed.exit(&spec.id).await.code, 137);
    let deadline = Instant::now() + DEADLINE;
    while std::path::Path::new(&format!("/proc/{}", started.pid)).exists() {
        assert!(Instant::now() < deadline, "the container ended with its shim");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bed.runtime.start(&spec.id, None).await.expect("starts again");
    bed
}

async fn a_run_without_a_record_is_ended(mut bed: Bed) -> Bed {
    let spec = bed.spec("web", WAIT);
    let started = bed.start(&spec).await.expect("starts");
    let directory = bed.directory(&spec);
    let bed = bed.reopened().await;
    fs::remove_file(directory.join("run.json")).expect("removes");
    let observed = bed.runtime.containers().await.expect("lists");
    assert!(matches!(observed[0].state, ObservedState::Created), "{observed:?}");
    let again = bed.runtime.start(&spec.id, None).await.expect("starts again");
    assert!(!std::path::Path::new(&format!("/proc/{}", started.pid)).exists() && again.pid != started.pid);
    bed
}

async fn torn_records_are_survived(mut bed: Bed) -> Bed {
    let spec = bed.spec("job", "exit 4");
    bed.start(&spec).await.expect("starts");
    bed.exit(&spec.id).await;
    let directory = bed.directory(&spec);
    for (name, text) in [("exit.json", "{\"code\":"), ("run.json", "")] {
        fs::write(directory.join(name), text).expect("writes");
    }
    fs::create_dir(directory.with_file_name("nothing")).expect("makes");
    fs::write(directory.with_file_name("stray"), "").expect("writes");
    let bed = bed.reopened().await;
    let observed = bed.runtime.containers().await.expect("lists");
    assert_eq!(observed.len(), 1);
    assert!(matches!(observed[0].state, ObservedState::Exited(exit) if exit.code == 137), "{observed:?}");
    assert!(!directory.with_file_name("nothing").exists(), "what has no record is removed");
    fs::remove_file(directory.with_file_name("stray")).expect("removes");
    bed
}

async fn many_start_at_once(mut bed: Bed) -> Bed {
    let mut specs = Vec::new();
    for number in 0..10 {
        let mut spec = bed.spec(&format!("web{number}"), "exit 0");
        bed.join(&mut spec, "default").await;
        bed.runtime.create(&spec).await.expect("makes");
        specs.push(spec);
    }
    let begun = Instant::now();
    let starts = specs.iter().map(|spec| {
        let (runtime, id) = (bed.runtime.clone(), spec.id.clone());
        tokio::spawn(async move { runtime.start(&id, None).await })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.expect("no panic").expect("starts");
    }
    println!("    ten starts took {:?}", begun.elapsed());
    let mut left: std::collections::BTreeSet<_> = specs.iter().map(|spec| spec.id.clone()).collect();
    while !left.is_empty() {
        let ended =
            tokio::time::timeout(DEADLINE, bed.events.recv()).await.expect("in time").expect("an event");
        let mesh_runtime::events::RuntimeEvent::Exited { id, exit } = ended else { panic!("{ended:?}") };
        assert_eq!(exit.code, 0);
        left.remove(&id);
    }
    for spec in &specs {
        bed.runtime.remove(&spec.id, true).await.expect("removes");
    }
    bed
}

/// An id that no user of the machine has.
const ORDINARY_ID: u32 = 60_123;

/// Runs this binary again as an ordinary user, who has one id only.
fn an_ordinary_user_has_it_too() {
    let directory = tempfile::tempdir().expect("temporary directory");
    chown(directory.path(), Some(ORDINARY_ID), Some(ORDINARY_ID)).expect("gives it away");
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .arg(crate::ORDINARY_USER)
        .env("TMPDIR", directory.path())
        .uid(ORDINARY_ID)
        .gid(ORDINARY_ID)
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

/// What that user does.
pub(crate) fn as_an_ordinary_user() {
    let own = tempfile::tempdir().expect("temporary directory");
    root_file_system::use_own_copy(own.path());
    with_bed(|mut bed: Bed| async move {
        assert!(bed.runtime.capabilities().rootless);
        let line = "id -u; touch /home/app/file && exec httpd -f -p 8080 -h /data";
        let mut spec = bed.spec("web", line);
        bed.join(&mut spec, "default").await;
        spec.service.network.ports = vec![bed::port(8080)];
        spec.image.config.sole_user = Some("app".to_owned());
        let volume = with_volume(&bed, &mut spec, "/home/app");
        bed.runtime.create_volume(&volume).await.expect("makes the volume");
        let started = bed.start(&spec).await.expect("starts");
        let address = started.ports[0].host;
        let page = tokio::task::spawn_blocking(move || fetch(address)).await.expect("asks");
        assert!(page.contains("from the image"), "{page}");
        let asked = bed.until(&spec, "id -u").await;
        assert_eq!(asked.trim(), "1000");
        assert!(bed.journal(&spec).contains("1000"), "{}", bed.journal(&spec));
        bed.runtime.pause(&spec.id).await.expect("stops");
        bed.runtime.unpause(&spec.id).await.expect("goes on");
        bed.until(&spec, "true").await;
        bed.runtime.signal(&spec.id, 9).await.expect("is killed");
        assert_eq!(bed.exit(&spec.id).await.code, 137);
        bed.runtime.remove(&spec.id, true).await.expect("removes");
        bed.runtime.remove_volume(&volume.name).await.expect("removes");
        bed
    });
}
