//! The directories and files of control groups.

use crate::error::{Error, Kind, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Names of files, and no paths: where they lie is for us to say.
pub(super) fn check_names(files: &[(String, String)]) -> Result<()> {
    match files.iter().find(|(file, _)| file.contains('/') || file == "..") {
        Some((file, _)) => Err(Error::new(Kind::Request, format!("unified resource {file:?} must be a file name (no slashes)"))),
        None => Ok(()),
    }
}

/// Version 2 calls some by another name.
pub(super) fn unified_name(controller: &str) -> &str {
    if controller == "blkio" { "io" } else { controller }
}

/// Makes a path of groups of version 2 in which these controllers work.
pub(super) fn make_unified(base: &Path, path: &str, controllers: &[&str]) -> Result<PathBuf> {
    let mut above = base.to_owned();
    for name in Path::new(path).components() {
        let enabled = fs::read_to_string(above.join("cgroup.subtree_control")).unwrap_or_default();
        let enabled: Vec<&str> = enabled.split_ascii_whitespace().collect();
        let missing: Vec<String> = controllers.iter().filter(|name| !enabled.contains(*name)).map(|name| format!("+{name}")).collect();
        if !missing.is_empty() {
            write(&above, "cgroup.subtree_control", &missing.join(" "))?;
        }
        above.push(name);
        make(&above)?;
    }
    Ok(above)
}

/// Both start empty, and nothing can run on no memory.
pub(super) fn inherit_processors(above: &Path, directory: &Path) -> Result<()> {
    for file in ["cpuset.mems", "cpuset.cpus"] {
        let own = fs::read_to_string(directory.join(file)).unwrap_or_default();
        if own.trim().is_empty() {
            let inherited = fs::read_to_string(above.join(file)).unwrap_or_default();
            write(directory, file, inherited.trim())?;
        }
    }
    Ok(())
}

pub(super) fn members_of(directory: &Path, found: &mut Vec<i32>) {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            members_of(&entry.path(), found);
        }
    }
}

pub(super) fn remove_tree(directory: &Path, until: Instant) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path(), until);
        }
    }
    while let Err(error) = fs::remove_dir(directory) {
        if error.raw_os_error() != Some(libc::EBUSY) || Instant::now() > until {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(super) fn make(directory: &Path) -> Result<()> {
    // One that is left over from a crash has no processes, and its limits are set anew.
    let made =
        fs::create_dir(directory).or_else(|error| if error.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) });
    made.map_err(|error| Error::io(format!("mkdir({:?})", directory.display()), &error).path(directory.display().to_string()))
}

pub(super) fn write_all(directory: &Path, files: &[(String, String)], warnings: &mut Vec<String>) -> Result<()> {
    let mut failed = Vec::new();
    for (file, value) in files {
        match write(directory, file, value) {
            // The kernel does not account for swap, or not for reservations, or has another scheduler.
            Err(error) if file.contains("swap") || file.contains("memsw") => match error.kind {
                Kind::NotFound | Kind::Permission => warnings.push("this kernel does not limit swap".to_owned()),
                _ => failed.push((file, value, error)),
            },
            Err(error) if file.contains("rsvd") && error.kind == Kind::NotFound => {}
            Err(error) => failed.push((file, value, error)),
            Ok(()) => {}
        }
    }
    // A sum that is raised together with a part of it must come first, one that is lowered last.
    for (file, value, error) in failed {
        if files.len() == 1 || write(directory, file, value).is_err() {
            return Err(error);
        }
    }
    Ok(())
}

pub(super) fn write(directory: &Path, file: &str, value: &str) -> Result<()> {
    use std::io::Write;
    let path = directory.join(file);
    let call =
        |error: std::io::Error| Error::io(format!("write({:?}, {value:?})", path.display()), &error).path(path.display().to_string());
    let mut file = fs::File::options().write(true).open(&path).map_err(call)?;
    file.write_all(value.as_bytes()).map_err(call)
}
