export { AuthorityFileError, readCertificates, trustAuthorities, trustSystem } from './certificates.ts';
export { FileWatch } from './file-watch.ts';
export { FlagError, readFlags, repeatedFlag, similarName, unknownFlag } from './flags.ts';
export {
  isJournal,
  journalPrefix,
  type LogFormat,
  logFormats,
  type LogLevel,
  logLevels,
  renderLogLine,
  surviveUnwritableOutput,
} from './log-output.ts';
export {
  noProxies,
  proxyFor,
  type ProxyInUse,
  ProxyVariableError,
  type ProxyVariables,
  rangeList,
  readProxyVariables,
  unreadableProxies,
} from './proxy-variables.ts';
