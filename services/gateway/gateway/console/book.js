// Reads an item of the catalogue as a book: title, series, authors, year, rating. Knows nothing of the DOM.

const SERIES = /\s*\(([^()]+)\)\s*$/;

/** "The Hobbit (Middle-earth, #0)" -> name "The Hobbit", series "Middle-earth, #0". */
export function describe({ id, title = "", attributes = {} }) {
  const series = title.match(SERIES);
  const authors = [attributes.authors ?? attributes.author ?? []].flat().map(String);
  return {
    id,
    title,
    name: series && series.index > 0 ? title.slice(0, series.index) : title,
    series: series && series.index > 0 ? series[1] : null,
    authors,
    year: Number.isFinite(attributes.year) ? attributes.year : null,
    rating: Number.isFinite(attributes.average_rating) ? attributes.average_rating : null,
  };
}

/** "Neil Gaiman and Terry Pratchett", "Chuck Dixon and 3 others". */
export const few = (authors) => (authors.length > 2 ? `${authors[0]} and ${authors.length - 1} others` : authors.join(" and "));

/** "1937", "750 BCE". */
export const when = (year) => (year < 0 ? `${-year} BCE` : `${year}`);

/** "J.R.R. Tolkien, 1937" */
export function byline({ authors, year }) {
  return [few(authors), year === null ? "" : when(year)].filter(Boolean).join(", ");
}
