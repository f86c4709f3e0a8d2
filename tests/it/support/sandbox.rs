//! A folder and an environment of its own for running the program.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A fresh folder; the program runs in it with nothing of the caller's environment.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
}

/// What a run gave. Check it.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With the content of `testdata/demo`.
    pub(crate) fn with_demo() -> Self {
        let sandbox = Self::new();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/demo");
        for name in ["sealift.toml", "hello.oci.tar", "motd.txt"] {
            std::fs::copy(demo.join(name), sandbox.path(name)).unwrap();
        }
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Clears the environment and sets what the program may see. A proxy that does not exist makes any
    /// connection that leaves the machine fail.
    pub(crate) fn prepare(&self, command: &mut Command) {
        let program = Path::new(env!("CARGO_BIN_EXE_sealift")).parent().unwrap();
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", program.display()))
            .env("HOME", self.path("user"))
            .env("SEALIFT_HOME", self.path("home"))
            .env("SOURCE_DATE_EPOCH", "1795219200")
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env("TMPDIR", self.dir.path());
    }

    #[must_use = "a run that nobody looks at tests nothing"]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    #[must_use = "a run that nobody looks at tests nothing"]
    pub(crate) fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealift"));
        self.prepare(&mut command);
        command.args(arguments).envs(environment.iter().copied());
        Ran::from(command.output().unwrap())
    }

    /// With a standard output that takes nothing: the disk below it is full.
    #[must_use = "a run that nobody looks at tests nothing"]
    pub(crate) fn run_unheard(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealift"));
        self.prepare(&mut command);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        Ran::from(command.args(arguments).stdout(full).output().unwrap())
    }
}

impl Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The run must have ended with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The run must have ended with this code and, in JSON form, this reason first.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, reason: &str) -> Self {
        let found = self.json()["failures"][0]["reason"].as_str().map(str::to_owned);
        assert_eq!((self.code, found.as_deref()), (code, Some(reason)), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}
