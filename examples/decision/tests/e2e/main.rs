//! The example as its user runs it: the process, behind real HAProxys.

mod attacks;
mod bed;
mod browser;
mod challenge;
mod chromium;
mod configuration;
mod leaks;
mod output;
mod reload;
mod sockets;
mod table;
