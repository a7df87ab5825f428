/** A constant, not read from package.json at run time: a single executable has no such file. */
export const AGENT_VERSION = '0.1.0';
