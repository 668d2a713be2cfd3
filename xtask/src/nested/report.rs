//! The report of a job in L1, line by line, and its parser.

use std::fmt::Display;

/// The report of a job so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// The checks, in their order.
    pub(super) checks: Vec<Check>,
    /// Whether the job started.
    begun: bool,
    /// Whether it finished.
    done: bool,
    /// The fault that prevented checks of the image.
    fault: Option<String>,
}

/// A check and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// Its name.
    pub(crate) name: String,
    /// Whether the image passed it.
    pub(crate) passed: bool,
    /// The details of a failure: the error and the console.
    pub(crate) details: String,
}

/// Messages of L1's kernel that show a fault of its own.
const KERNEL_FAULTS: [&str; 7] = [
    "soft lockup",
    "hard LOCKUP",
    "detected stall",
    "Kernel panic",
    "Oops:",
    "Out of memory",
    "cannot load the module",
];

impl Report {
    /// The prefix of a report's lines. Other lines belong to the preceding check.
    pub(super) const PREFIX: &str = "nested: ";

    /// Reports that the job starts.
    pub(super) fn begin() {
        println!("{}begun", Report::PREFIX);
    }

    /// Reports that a check passed.
    pub(super) fn passed(name: &str) {
        println!("{}passed {name}", Report::PREFIX);
    }

    /// Reports that a check failed, and why.
    pub(super) fn failed(name: &str, details: &str) {
        println!("{}failed {name}\n{details}", Report::PREFIX);
    }

    /// Reports that the image could not be checked, and why.
    pub(super) fn fault(error: &impl Display) {
        println!("{}fault {error}", Report::PREFIX);
    }

    /// Reports that the job finished.
    pub(super) fn end() {
        println!("{}done", Report::PREFIX);
    }

    /// Returns whether a line of a report is routine.
    pub(super) fn is_routine(line: &str) -> bool {
        let rest = line.strip_prefix(Report::PREFIX).unwrap_or_default();
        ["begun", "done", "passed "].iter().any(|word| rest.starts_with(word))
    }

    /// Parses the output of the functions above.
    pub(super) fn parse(text: &str) -> Report {
        let mut report = Report::default();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix(Report::PREFIX) else {
                let open = report.fault.as_mut().or(report.checks.last_mut().map(|check| &mut check.details));
                if let Some(details) = open {
                    details.push_str(line);
                    details.push('\n');
                }
                continue;
            };
            match rest.split_once(' ').unwrap_or((rest, "")) {
                ("begun", _) => report.begun = true,
                ("done", _) => report.done = true,
                ("fault", why) => report.fault = Some(format!("{why}\n")),
                (word @ ("passed" | "failed"), name) => {
                    let passed = word == "passed";
                    report.checks.push(Check { name: name.to_owned(), passed, details: String::new() });
                }
                _ => {}
            }
        }
        report
    }

    /// Returns the fault of L1 that makes the report unreliable, if any. `ended` says whether L1's QEMU ended by
    /// itself, and if so, whether it succeeded.
    pub(super) fn fault_of_guest(&self, kernel_log: &str, ended: Option<bool>) -> Option<String> {
        if let Some(fault) = &self.fault {
            return Some(fault.clone());
        }
        if let Some(line) = kernel_log.lines().find(|line| KERNEL_FAULTS.iter().any(|fault| line.contains(fault))) {
            return Some(format!("its kernel says: {}", line.trim()));
        }
        let what = match (self.begun, self.done, ended) {
            (_, true, _) => return None,
            (_, _, Some(false)) => "its QEMU failed",
            (false, _, Some(true)) => "it powered off without having begun the job",
            (false, _, None) => "it did not come up",
            (true, _, Some(true)) => "it powered off in the middle of the job",
            (true, _, None) => "it hangs: nothing was printed for minutes",
        };
        Some(what.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "nested: begun\nnested: passed pc: boot 1 of 2\nnested: failed pc: boot 2 of 2\nno answer\n| the \
                       console\n";

    #[test]
    fn reads_what_a_job_prints() {
        let report = Report::parse(&format!("{LOG}nested: done\n"));
        let [first, second] = report.checks.as_slice() else { panic!("{report:?}") };
        assert!(first.passed && first.name == "pc: boot 1 of 2" && first.details.is_empty());
        assert!(!second.passed && second.details == "no answer\n| the console\n");
        assert_eq!(report.fault_of_guest("", Some(true)), None);
    }

    #[test]
    fn tells_its_own_faults_from_the_images() {
        let fault = |report: &str, kernel: &str, ended| Report::parse(report).fault_of_guest(kernel, ended);
        assert_eq!(fault("", "", None).as_deref(), Some("it did not come up"));
        assert_eq!(fault(LOG, "", Some(true)).as_deref(), Some("it powered off in the middle of the job"));
        assert!(fault(LOG, "", None).unwrap().contains("hangs"));
        assert!(fault(LOG, "", Some(false)).unwrap().contains("QEMU"));
        let done = format!("{LOG}nested: done\n");
        let kernel = "[  9.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [qemu-system-x86:77]\n";
        assert!(fault(&done, kernel, Some(true)).unwrap().contains("stuck for 26s"));
        let no_kvm = "nested: begun\nnested: fault /dev/kvm: No such file\nmore\n";
        assert_eq!(fault(no_kvm, "", Some(true)).as_deref(), Some("/dev/kvm: No such file\nmore\n"));
    }
}
