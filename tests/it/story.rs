//! This module is written in another branch by another hand right now: leave it out here.
