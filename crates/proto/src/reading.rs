//! Readings: the one shape in which measurements travel.
