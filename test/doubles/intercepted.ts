/** `target` with some of its methods replaced, for faults and races that are too rare in the real object. */
export function intercepted<Target extends object>(target: Target, replaced: Partial<Target>): Target {
  return new Proxy(target, {
    get(_proxied, name) {
      const source: Partial<Target> = name in replaced ? replaced : target;
      const value: unknown = Reflect.get(source, name, source);
      // Bound, because private fields are not accessible through a proxy.
      return typeof value === 'function' ? (value.bind(source) as unknown) : value;
    },
  });
}
