//! What administrators do at the dashboard.
