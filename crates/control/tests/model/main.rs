//! A model of a group: the planner of the product against crashes, pauses, lost and late messages.
//!
//! Everything around the planner is made up here, small and discrete; the planner itself is the one that runs.
