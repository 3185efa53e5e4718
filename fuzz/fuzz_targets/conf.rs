//! Any text as SPOE's configuration file: what is read is printed, and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spop::conf::{Conf, HaproxyVersion};

fuzz_target!(|text: &str| {
    let Ok(conf) = Conf::parse(text) else { return };
    for version in [HaproxyVersion::new(2, 6), HaproxyVersion::new(3, 4)] {
        for finding in conf.lint(version) {
            assert!(!finding.to_string().is_empty() && finding.line() <= text.lines().count());
        }
    }
    let printed = conf.to_string();
    let again = Conf::parse(&printed).expect("what was printed");
    assert_eq!(again.to_string(), printed);
    assert_eq!(again.engines().len(), conf.engines().len());
    for (engine, same) in conf.engines().iter().zip(again.engines()) {
        assert!(engine.name() == same.name() && engine.sent().eq(same.sent()));
        for (section, same) in engine.sections().iter().zip(same.sections()) {
            let words = section.lines().iter().map(|line| &line.words);
            assert!(section.name() == same.name() && words.eq(same.lines().iter().map(|line| &line.words)));
        }
    }
});
