//! Helpers for whole-system tests that start the real binary: a directory that
//! goes away, waits with a bound, and a view of the process tree.
//!
//! Processes are read from `/proc`, so this half of the testkit is for Linux.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// How long to pause between two looks at a process that still runs.
const POLL_PAUSE: Duration = Duration::from_millis(10);

/// A directory for one test's run; it and all in it are removed on drop.
#[derive(Debug)]
pub struct TempRun {
    dir: tempfile::TempDir,
}

impl TempRun {
    /// Makes an empty directory under the system's place for such files.
    ///
    /// # Errors
    /// What the file system says when it refuses.
    pub fn new() -> io::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("twinspan-test-")
            .tempdir()?;
        Ok(Self { dir })
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The path of `name` inside the directory, whether or not it exists.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the directory, with its parent folders, and returns its path.
    ///
    /// # Errors
    /// What the file system says when it refuses.
    pub fn write(&self, name: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<PathBuf> {
        let path = self.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, contents)?;
        Ok(path)
    }
}

/// Waits until `child` has ended, at most `limit`.
///
/// The child is left alone when the limit passes: the test decides whether to
/// look at it, kill it or both. Whoever pipes the child's output must read it
/// from another thread, or a full pipe keeps the child alive.
///
/// # Errors
/// `TimedOut` when the child still runs after `limit`; otherwise what the
/// system says of the wait.
pub fn wait_with_timeout(child: &mut Child, limit: Duration) -> io::Result<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let waited = started.elapsed();
        if waited >= limit {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("process {} still runs after {limit:?}", child.id()),
            ));
        }
        std::thread::sleep(POLL_PAUSE.min(limit - waited));
    }
}

/// All living descendants of process `pid`, in rising order of their ids.
///
/// Ask before the process dies: its children then belong to another parent.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let processes: Vec<(u32, u32)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|id| {
            let stat = read_stat(id)?;
            stat.lives.then_some((id, stat.parent))
        })
        .collect();
    let mut found = Vec::new();
    let mut frontier = vec![pid];
    while let Some(parent) = frontier.pop() {
        for &(id, its_parent) in &processes {
            if its_parent == parent && id != parent && !found.contains(&id) {
                found.push(id);
                frontier.push(id);
            }
        }
    }
    found.sort_unstable();
    found
}

/// Whether process `pid` exists and is no zombie.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    read_stat(pid).is_some_and(|stat| stat.lives)
}

/// The part of `/proc/<pid>/stat` that is of use here.
struct Stat {
    parent: u32,
    lives: bool,
}

fn read_stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces and parentheses itself.
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Stat {
        parent,
        lives: !matches!(state, "Z" | "X" | "x"),
    })
}

#[cfg(test)]
mod tests {
    use super::{TempRun, descendants, is_alive, wait_with_timeout};
    use std::io::{self, BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::time::Duration;

    #[test]
    fn a_run_directory_is_gone_after_the_test() {
        let run = TempRun::new().expect("a temporary directory");
        let file = run.write("a/b.txt", "text").expect("a file");
        assert!(file.exists() && file.starts_with(run.path()));
        let path = run.path().to_owned();
        drop(run);
        assert!(!path.exists());
    }

    #[test]
    fn a_wait_ends_at_its_limit_and_returns_the_status_before_it() {
        // `cat` lives until its standard input is closed.
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .spawn()
            .expect("cat starts");
        let error = wait_with_timeout(&mut child, Duration::from_millis(30));
        assert_eq!(
            error.expect_err("cat still runs").kind(),
            io::ErrorKind::TimedOut
        );
        assert!(is_alive(child.id()));
        drop(child.stdin.take());
        let status = wait_with_timeout(&mut child, Duration::from_secs(20)).expect("cat ends");
        assert!(status.success());
        assert!(!is_alive(child.id()));
    }

    #[test]
    fn descendants_include_grandchildren() {
        // Two shells, one in the other; the inner one's `cat` holds both until
        // their standard input is closed.
        let mut child = Command::new("sh")
            .args(["-c", "sh -c 'echo $$; cat; :'; :"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the inner shell says its id");
        let inner: u32 = line.trim().parse().expect("an id");
        assert!(descendants(child.id()).contains(&inner));
        let all = descendants(std::process::id());
        assert!(all.contains(&child.id()) && all.contains(&inner));
        drop(child.stdin.take());
        wait_with_timeout(&mut child, Duration::from_secs(20)).expect("both shells end");
        assert!(!is_alive(inner) && descendants(child.id()).is_empty());
    }
}
