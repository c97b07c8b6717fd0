/** What went wrong, and, where it may pass, a button to try again. */
export function Notice({ title, onRetry }: { title: string; onRetry?: (() => void) | undefined }) {
  return (
    <div className="card notice" role="alert">
      <h2>{title}</h2>
      {onRetry !== undefined && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}
