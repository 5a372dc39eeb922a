"""The process: owns sockets, files and the clock; composes the pure parts."""
