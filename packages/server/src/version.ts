/** A constant, as in the agent: compiled programs do not look for a package.json beside them. */
export const SERVER_VERSION = '0.1.0';
