//! NCCL's real library, on a machine that need not have a GPU.

use crate::fake::{FakeGpu, SharedGpu};
use crate::processes::Process;
use crate::worlds::{nccl_config, rings};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twinspan_collective::nccl::{
    self, CudaDriver, NcclApi, NcclLibrary, NcclMissing, NcclParts, NcclUnusable,
};
use twinspan_collective::{Collective, NcclConnectError, NcclEngine};

/// Where `tests/install-servers.sh` installs NCCL's library, and the version that its stamp says.
pub fn installed() -> Result<(PathBuf, String), String> {
    let near = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-servers");
    let servers = std::env::var_os("TWINSPAN_TEST_SERVERS").map_or(near, PathBuf::from);
    let names = std::fs::read_dir(&servers).into_iter().flatten().flatten();
    let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let version = names.find_map(|name| Some(name.strip_prefix(".nccl-")?.to_owned()));
    match version {
        Some(version) => Ok((servers.join("nccl/libnccl.so.2"), version)),
        None => Err(format!(
            "no NCCL in {}; run tests/install-servers.sh",
            servers.display()
        )),
    }
}

/// Says on the terminal, where libtest hides a passing test's output, why a test was skipped.
pub fn skip(test: &str, reason: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{test} must run here: {reason}"
    );
    tell(test, reason);
}

/// As [`skip`], for what a machine without a GPU cannot have.
pub fn tell(test: &str, reason: &str) {
    // A closed terminal is no reason to fail.
    let _ = writeln!(std::io::stderr(), "skipped {test}: {reason}");
}

#[test]
fn the_library_from_pypi_opens_without_a_gpu_and_reports_its_version() {
    let (file, stamp) = match installed() {
        Ok(installed) => installed,
        Err(reason) => return skip("the library from PyPI", &reason),
    };
    let library = NcclLibrary::open(Some(&file)).expect("NCCL opens");
    let version = library.version().expect("NCCL says its version");
    assert_eq!(version.to_string(), stamp);
    assert!(
        library.describe(6).contains("remote process exited"),
        "{}",
        library.describe(6)
    );
    // A number that no version has.
    assert!(library.describe(4711).contains("4711"));
}

/// Set for a child that says what it finds.
const PROBES: &str = "TWINSPAN_COLLECTIVE_TEST_PROBES";

/// The body of a child; without the variable there is nothing to test.
#[test]
fn child_that_probes() {
    if std::env::var_os(PROBES).is_none() {
        return;
    }
    // libtest has begun the line with the test's name.
    match nccl::probe() {
        Ok(version) => println!("\nversion {version}"),
        Err(missing) => println!("\nmissing {missing}"),
    }
}

#[test]
fn the_environment_may_name_the_librarys_file() {
    let probe = |file: &Path| {
        let file = file.display().to_string();
        let variables = [(PROBES, "1".to_owned()), ("TWINSPAN_NCCL", file)];
        Process::start_as("nccl::library::child_that_probes", &variables)
    };
    let absent = probe(Path::new("/nowhere/libnccl.so.2")).expect("missing");
    assert!(
        absent.starts_with("/nowhere/libnccl.so.2 cannot be opened"),
        "{absent}"
    );
    match installed() {
        Ok((file, stamp)) => assert_eq!(probe(&file).expect("version"), stamp),
        Err(reason) => skip("the library that the environment names", &reason),
    }
}

#[test]
fn an_absent_library_is_an_error_that_names_the_file_and_what_to_do() {
    let absent = Path::new("/nowhere/libnccl.so.2");
    match NcclLibrary::open(Some(absent)).map(|_| ()) {
        Err(missing @ NcclMissing::Library { .. }) => {
            let text = missing.to_string();
            for part in [
                "/nowhere/libnccl.so.2",
                "pip install nvidia-nccl-cu13",
                "LD_LIBRARY_PATH",
                "TWINSPAN_NCCL=",
            ] {
                assert!(text.contains(part), "{text}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_library_that_is_not_nccl_is_an_error_that_names_what_it_lacks() {
    match NcclLibrary::open(Some(Path::new("libc.so.6"))).map(|_| ()) {
        Err(NcclMissing::WrongLibrary { file, detail }) => {
            assert_eq!(file, "libc.so.6");
            assert!(detail.contains("ncclGetVersion"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn connecting_without_a_driver_is_an_error_that_names_it_and_the_ring_goes_on() {
    if CudaDriver::open().is_ok() {
        return tell("connecting without a driver", "this machine has one");
    }
    let mut ring = rings(1, nccl_config().step_timeout).remove(0);
    // As NcclEngine::connect does, with NCCL's library where there is none installed.
    let parts = CudaDriver::open().map(|_| unreachable!("there is no driver"));
    match NcclEngine::connect_with(&mut ring, nccl_config(), parts) {
        Err(NcclConnectError::Unusable(why)) => {
            let text = why.to_string();
            assert!(text.contains("rank 0: libcuda.so.1"), "{text}");
            assert!(text.contains("NVIDIA driver"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    ring.barrier().expect("a ring as good as before");
    // Whatever is missing here, nothing panics.
    assert!(NcclEngine::connect(&mut ring, nccl_config()).is_err());
    ring.barrier().expect("a ring as good as before");
}

/// The real library under an engine whose GPU is a fake: it gets as far as asking for the device.
#[test]
fn the_real_library_refuses_to_join_without_a_gpu_and_the_ring_goes_on() {
    if CudaDriver::open().is_ok() {
        return tell("joining without a GPU", "this machine may have one");
    }
    let (file, _) = match installed() {
        Ok(installed) => installed,
        Err(reason) => return skip("joining without a GPU", &reason),
    };
    let library = NcclLibrary::open(Some(&file)).expect("NCCL opens");
    let gpu = SharedGpu(Arc::new(FakeGpu::default()));
    let parts = NcclParts {
        nccl: Arc::new(library),
        cuda: Arc::new(gpu.clone()),
    };
    let mut ring = rings(1, nccl_config().step_timeout).remove(0);
    match NcclEngine::connect_with(&mut ring, nccl_config(), Ok(parts)) {
        Err(NcclConnectError::Unusable(NcclUnusable::NotJoined(ranks))) => {
            assert!(ranks[0].1.contains("NCCL error"), "{ranks:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(gpu.left_over(), 0);
    ring.barrier().expect("a ring as good as before");
}
