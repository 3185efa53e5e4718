//! Unpacks packages into a folder, so that a program of theirs runs there with their loader and libraries.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Package, files_below, remove, run_holding};
use crate::Error;

/// For everything that works on local files.
const UNPACK_DEADLINE: Duration = Duration::from_secs(120);

/// Fonts there are, or a browser shows no text.
const FONTS: &str = r#"<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir prefix="relative">root/fonts</dir></fontconfig>
"#;

/// Unpacks what was downloaded to `home/apt`, removes that, and writes a script of the package's name, which runs the
/// program.
pub(super) fn unpack(home: &Path, package: Package, lock: &File) -> Result<(), Error> {
    let (apt, root) = (home.join("apt"), home.join("root"));
    let packages = files_below(&apt.join("cache/archives"))?;
    for package in packages.iter().filter(|path| path.extension().is_some_and(|e| e == "deb")) {
        run_holding(lock, Command::new("dpkg").arg("-x").arg(package).arg(&root), UNPACK_DEADLINE)?;
    }
    let share = root.join("usr/share");
    if share.join("fonts").exists() {
        std::fs::rename(share.join("fonts"), root.join("fonts")).map_err(Error::io("keep the fonts"))?;
    }
    for unused in [apt, share, root.join("etc"), root.join("var")] {
        remove(&unused)?;
    }
    let files = files_below(&root)?;
    let program = root.join(package.program);
    let patched = home.join("patched");
    set_loader(&program, &patched, loader(&files)?)?;
    let fonts = home.join("fonts.conf");
    std::fs::write(&fonts, FONTS).map_err(Error::io(format!("write {}", fonts.display())))?;
    // By a child process: a file that this one had open for writing could not be executed for as long as another of
    // its threads is between fork and exec ("Text file busy").
    let write = r#"cp "$1" "$2" && rm "$1" && printf %s "$3" >"$4" && chmod 755 "$2" "$4""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", write, "sh"]).args([&patched, &program]);
    shell.arg(script(&root, &files, package.program)).arg(home.join(package.name));
    run_holding(lock, &mut shell, UNPACK_DEADLINE)
}

fn loader(files: &[PathBuf]) -> Result<&Path, Error> {
    let is_loader = |path: &&PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // Links may be absolute, and so point to the system's loader.
        name.starts_with("ld-linux") && !path.is_symlink()
    };
    let found = files.iter().find(is_loader).map(PathBuf::as_path);
    found.ok_or_else(|| Error::Malformed("the packages have no ld-linux".to_owned()))
}

/// A script that runs the program below `root`, next to the script, with the libraries found there.
fn script(root: &Path, files: &[PathBuf], program: &str) -> String {
    let mut folders = Vec::new();
    for path in files {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Ok(inside) = path.strip_prefix(root) else { continue };
        let folder = inside.parent().unwrap_or(inside).display().to_string();
        if name.starts_with("lib") && name.contains(".so") && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    // The shortest first: what is deeper belongs to one library.
    folders.sort_by_key(String::len);
    let libraries: Vec<_> = folders.iter().map(|folder| format!("$root/{folder}")).collect();
    format!(
        r#"#!/bin/sh
home="${{0%/*}}" root="${{0%/*}}/root"
export FONTCONFIG_FILE="$home/fonts.conf" LD_LIBRARY_PATH="{}"
exec "$root/{program}" "$@"
"#,
        libraries.join(":"),
    )
}

/// Writes a copy of `program` to `copy` that names `loader` as its loader.
///
/// To run the loader with the program as its argument would not do for a program that starts itself again or looks for
/// files beside itself: the system says that it is the loader. The name does not fit in the old one's place, so it goes
/// to the end of the file, where the kernel takes it from as well.
fn set_loader(program: &Path, copy: &Path, loader: &Path) -> Result<(), Error> {
    let doing = format!("give {} its loader", program.display());
    std::fs::copy(program, copy).map_err(Error::io(doing.clone()))?;
    let file = File::options().read(true).write(true).open(copy).map_err(Error::io(doing.clone()))?;
    let set = write_loader(&file, loader).map_err(Error::io(doing))?;
    if set {
        Ok(())
    } else {
        Err(Error::Malformed(format!("{} is no program with a loader", program.display())))
    }
}

/// The fields of ELF for 64 bits, elf(5): in the file's header, and in each of the program headers.
const MAGIC: &[u8] = b"\x7fELF\x02\x01";
const HEADERS_OFFSET: usize = 32;
const HEADER_SIZE: usize = 54;
const HEADER_COUNT: usize = 56;
const TYPE_LOADER: u32 = 3;
const FILE_OFFSET: u64 = 8;
const FILE_SIZE: u64 = 32;

/// False if the file has no program header for a loader.
fn write_loader(file: &File, loader: &Path) -> io::Result<bool> {
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0)?;
    if !header.starts_with(MAGIC) {
        return Ok(false);
    }
    let number =
        |at: usize, len: usize| header[at..at + len].iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
    let (headers, size) = (number(HEADERS_OFFSET, 8), number(HEADER_SIZE, 2));
    for index in 0..number(HEADER_COUNT, 2) {
        let at = headers.saturating_add(index * size);
        let mut kind = [0; 4];
        file.read_exact_at(&mut kind, at)?;
        if u32::from_le_bytes(kind) == TYPE_LOADER {
            let name = [loader.as_os_str().as_encoded_bytes(), b"\0"].concat();
            let end = file.metadata()?.len();
            file.write_all_at(&name, end)?;
            file.write_all_at(&end.to_le_bytes(), at + FILE_OFFSET)?;
            file.write_all_at(&(name.len() as u64).to_le_bytes(), at + FILE_SIZE)?;
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_script_covers_every_folder_with_libraries() {
        let root = tempfile::tempdir().unwrap();
        let files =
            ["lib/x/ld-linux-x.so.2", "lib/x/libc.so.6", "usr/lib/x/liblua5.3.so.0", "usr/sbin/haproxy"];
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        // Debian's own is absolute, so it points to the system's loader.
        fs::create_dir_all(root.path().join("lib64")).unwrap();
        std::os::unix::fs::symlink("/lib/x/ld-linux-x.so.2", root.path().join("lib64/ld-linux-x.so.2"))
            .unwrap();
        let files = files_below(root.path()).unwrap();
        assert_eq!(loader(&files).unwrap(), root.path().join("lib/x/ld-linux-x.so.2"));
        let script = script(root.path(), &files, "usr/sbin/haproxy");
        assert!(script.contains(r#"LD_LIBRARY_PATH="$root/lib/x:$root/usr/lib/x""#), "{script}");
        assert!(script.contains(r#"exec "$root/usr/sbin/haproxy" "$@""#), "{script}");
    }

    #[test]
    fn a_program_gets_another_loader() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, loader) = (folder.path().join("copy"), folder.path().join("a loader that is not there"));
        set_loader(Path::new("/bin/sh"), &copy, &loader).unwrap();
        // The kernel looks for it, and says so of the program.
        let error = Command::new(&copy).spawn().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let script = folder.path().join("script");
        fs::write(&script, "#!/bin/sh\n".repeat(10)).unwrap();
        assert!(matches!(set_loader(&script, &copy, &loader), Err(Error::Malformed(_))));
    }
}
