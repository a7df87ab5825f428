export interface Assignment {
  readonly key: string;
  readonly value: string;
}

/**
 * Returns the lines KEY=VALUE of a systemd unit, or of a file for its `EnvironmentFile=`, in their order; a key may
 * occur more than once. Sections, quotes and continued lines are not supported: our files do not need them.
 */
export function readAssignments(text: string): Assignment[] {
  return text.split('\n').flatMap((line) => {
    const [, key, value] = /^([A-Za-z_]\w*)=(.*)$/.exec(line) ?? [];
    return key === undefined || value === undefined ? [] : [{ key, value }];
  });
}

export function valuesOf(assignments: readonly Assignment[], key: string): string[] {
  return assignments.filter((assignment) => assignment.key === key).map(({ value }) => value);
}
