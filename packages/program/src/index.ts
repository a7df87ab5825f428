export { FileWatch } from './file-watch.ts';
export { FlagError, readFlags, repeatedFlag, unknownFlag } from './flags.ts';
export { similarName } from './similar-name.ts';
export {
  isJournal,
  journalPrefix,
  type LogFormat,
  logFormats,
  type LogLevel,
  logLevels,
  renderLogLine,
} from './log-line.ts';
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
export { readCertificates } from './pem-certificates.ts';
export { AuthorityFileError, trustAuthorities, trustSystem } from './trusted-authorities.ts';
export { surviveUnwritableOutput } from './unwritable-output.ts';
