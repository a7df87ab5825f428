/** One mistake in the settings. `message` starts with the name of the setting and never contains a secret. */
export interface SettingProblem {
  /** Environment variable or flag, as the user spells it. */
  readonly setting: string;
  readonly message: string;
}

/**
 * The user has to change a setting before the server can start; exit code 2. One error reports all mistakes, so that
 * the server need not be started once for each.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly SettingProblem[];

  constructor(problems: readonly SettingProblem[], options?: ErrorOptions) {
    super(render(problems), options);
    this.problems = problems;
  }
}

function render(problems: readonly SettingProblem[]): string {
  const [first, ...others] = problems;
  if (first !== undefined && others.length === 0) return first.message;
  const lines = problems.map(({ message }) => `  - ${message}`);
  return [`${problems.length} settings have to change:`, ...lines].join('\n');
}
