/** A test that a page names. */
export interface NamedTest {
  readonly name: string;
  /** From the root of the checkout. */
  readonly file: string;
}

/** Whether a file's text has a test of this name, including names that a loop builds. */
export function hasTest(text: string, name: string): boolean {
  return text.includes(`'${name}'`) || namePatterns(text).some((pattern) => pattern.test(name));
}

function namePatterns(text: string): readonly RegExp[] {
  return [...text.matchAll(/(?:\btest\(\s*|\bconst name = )`([^`]+)`/g)]
    .map(([, template = '']) => template.split(/\$\{[^}]*\}/))
    .filter((words) => words.join('').trim() !== '')
    .map((words) => new RegExp(`^${words.map((word) => RegExp.escape(word)).join('.*')}$`));
}
