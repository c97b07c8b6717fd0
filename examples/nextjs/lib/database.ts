/** The tables of supabase/migrations, as `supabase gen types typescript` writes them. */

interface Transaction {
  id: number;
  user_id: string;
  category: string;
  date: string;
  amount: number;
}

interface Prediction {
  id: number;
  user_id: string;
  category: string;
  date: string;
  predicted_amount: number;
  lower_bound: number;
  upper_bound: number;
  created_at: string;
}

interface SpendingCategory {
  category: string;
  transactions: number;
  first_date: string;
  last_date: string;
}

type Made = "id";
type Row<T> = { [K in keyof T]: T[K] };

export interface Database {
  public: {
    Tables: {
      transactions: {
        Row: Row<Transaction>;
        Insert: Omit<Row<Transaction>, Made>;
        Update: Partial<Row<Transaction>>;
        Relationships: [];
      };
      predictions: {
        Row: Row<Prediction>;
        Insert: Omit<Row<Prediction>, Made>;
        Update: Partial<Row<Prediction>>;
        Relationships: [];
      };
    };
    Views: { spending_categories: { Row: Row<SpendingCategory>; Relationships: [] } };
    Functions: Record<never, never>;
  };
}
