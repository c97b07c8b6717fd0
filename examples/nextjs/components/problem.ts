/** What a problem document says to a person. */
export async function titleOf(answer: Response): Promise<string> {
  try {
    const { title } = await answer.json();
    if (typeof title === "string") return title;
  } catch {
    // not one of ours: something before the app answered
  }
  return "Something went wrong.";
}
