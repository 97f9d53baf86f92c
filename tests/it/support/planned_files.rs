//! A project as `payrun init` makes it, which plans files of people: what a person is told of each is
//! compared with the text beside the file. `UPDATE_EXPECT=1 cargo nextest run` writes it anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use tempfile::TempDir;

use super::process::{ExitedProcess, Running, payrun};
use super::{DATE, PATIENCE, root};

pub struct ReadyProject {
    folder: TempDir,
    files: PathBuf,
}

impl ReadyProject {
    /// For the files of a folder of `tests`.
    pub fn of(files: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Self {
            folder,
            files: root().join("tests").join(files),
        };
        let made = project.payrun(&["init", "."]);
        assert_eq!(made.code(), Some(0), "{made:?}");
        let ready = ["refund-batch", "customs-filing"].map(|name| format!("{name}.yaml"));
        for name in ready {
            let text = std::fs::read(project.path("ready").join(&name)).unwrap();
            project.write(&format!("workflows/{name}"), text);
        }
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn payrun(&self, args: &[&str]) -> ExitedProcess {
        Running::start(payrun(self.folder.path(), args)).wait(PATIENCE)
    }

    /// Puts a file into the project.
    pub fn take(&self, file: &str) -> Vec<u8> {
        let bytes = std::fs::read(self.files.join(file)).unwrap();
        self.write(&format!("data/{file}"), &bytes);
        bytes
    }

    /// What a person is told of a file that is planned.
    #[track_caller]
    pub fn plan(&self, file: &str, workflow: &str, parameter: &str) -> String {
        self.take(file);
        let (workflow, given) = (
            format!("workflows/{workflow}.yaml"),
            format!("{parameter}=../data/{file}"),
        );
        let plan = [
            "plan", &workflow, "--date", DATE, "--var", &given, "--rows", "all",
        ];
        let told = told(&self.payrun(&plan));
        self.expects(file, &told);
        told
    }

    /// What a person is told of a file of contracts.
    pub fn import(&self, file: &str) {
        self.take(file);
        let path = format!("data/{file}");
        let import = ["contracts", "import", &path, "--gateway", "hk", "--dry-run"];
        // When the contracts began depends on the day of the test.
        let told = told(&self.payrun(&import));
        let lines = told
            .lines()
            .filter(|line| !line.contains("began before today"));
        let told: String = lines.map(|line| format!("{line}\n")).collect();
        self.expects(file, &told);
    }

    fn expects(&self, file: &str, told: &str) {
        expect_file![self.files.join(format!("{file}.txt"))].assert_eq(told);
    }

    /// Each file of the folder is among those that were tried.
    pub fn has_tried(&self, tried: &[&str]) {
        let there: BTreeSet<String> = std::fs::read_dir(&self.files)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| is_tried(path))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        let tried = tried.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(there, tried);
    }
}

fn is_tried(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "csv" || extension == "xlsx")
}

fn told(ended: &ExitedProcess) -> String {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    let lines = said.lines().map(|line| format!("{}\n", line.trim_end()));
    format!(
        "exit code {}\n{}",
        ended.code().unwrap(),
        lines.collect::<String>()
    )
}
