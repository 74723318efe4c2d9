//! What the simulator was asked to decide, through the real program over real sockets. Where it lasts hours, the clock of
//! bridge and tenant runs faster; attempts, keep-alives and the lifetimes of tokens stay real.

mod calls;
mod hours;
mod refusals;
pub mod world;
