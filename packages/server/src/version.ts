/** A constant, as in the agent: compiled programs have no package.json to read. */
export const SERVER_VERSION = '0.1.0';
