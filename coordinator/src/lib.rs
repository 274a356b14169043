//! twinspan-coordinator
