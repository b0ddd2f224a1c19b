//! Whole rotations by the built program on real parts: what the sandbox proves, proven where people run it.

mod lab_moto;
