//! What payrun keeps is for the user it runs as: nobody else may list its folders or read its
//! files.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{geteuid, umask};

/// What a group or anybody else may do.
const OTHERS: u32 = 0o077;

/// From now on every folder that this process makes has the mode 0700, every file 0600, whatever
/// umask it was started with.
pub fn make_all_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Takes a file or folder of before from others, and says so. Where it cannot, that is said, with
/// what to do.
pub fn take_from_others(path: &Path) {
    let Ok(found) = fs::symlink_metadata(path) else {
        return;
    };
    // What a link stands for may be somebody else's, and meant to be read.
    if found.is_symlink() {
        return tell_of_link(path);
    }
    let mode = found.permissions().mode() & 0o7777;
    if mode & OTHERS == 0 {
        return;
    }
    let (path_shown, before) = (path.display(), format!("{mode:04o}"));
    match fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS)) {
        Ok(()) => {
            tracing::warn!(%before, "{path_shown} was open to other users; now it is for its owner only")
        }
        Err(error) => {
            tracing::warn!(%before, %error, "{path_shown} is open to other users; `chmod go= {path_shown}` as its owner")
        }
    }
}

/// Tells of a folder in which others may put one thing in the place of another.
pub fn tell_if_others_write(folder: &Path) {
    let Ok(found) = fs::metadata(folder) else {
        return;
    };
    let mode = found.permissions().mode() & 0o7777;
    // In a folder with the sticky bit nobody moves what is another's.
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        let (folder, mode) = (folder.display(), format!("{mode:04o}"));
        tracing::warn!(%mode, "other users may write in {folder}; `chmod go-w {folder}`");
    }
}

/// That other users can read an opened file, and what to do about it; none if they cannot.
pub fn open_to_others(path: &Path, file: &File) -> Option<String> {
    let found = file.metadata().ok()?;
    let (mode, us) = (found.permissions().mode(), geteuid().as_raw());
    // Of a file of somebody else's, such as a secret that was mounted for us, we may be the group.
    let group = if found.uid() == us || us == 0 {
        0o060
    } else {
        0o020
    };
    // Who cannot pass a folder on the way to it cannot read it. A link may stand in another folder
    // than the file.
    let real = path.canonicalize().ok()?;
    let may_pass = |bit: u32| {
        let passes = |folder: &Path| {
            fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & bit != 0)
        };
        real.ancestors().skip(1).all(passes)
    };
    let open = (mode & group != 0 && may_pass(0o011)) || (mode & 0o006 != 0 && may_pass(0o001));
    open.then(|| {
        let path = path.display();
        format!(
            "{path} holds a secret, and others can read it ({:04o}): `chmod go= {path}` as its owner; for a secret of Kubernetes \
             defaultMode: 0400 (0440 with an fsGroup), for one of Docker mode: 0400 and our uid",
            mode & 0o7777
        )
    })
}

fn tell_of_link(path: &Path) {
    let Ok(found) = fs::metadata(path) else {
        return;
    };
    let mode = found.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        let (path, mode) = (path.display(), format!("{mode:04o}"));
        tracing::warn!(%mode, "what {path} links to is open to other users; `chmod go= {path}`");
    }
}
