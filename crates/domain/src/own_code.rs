//! The codes that payrun itself answers with, where no gateway was asked or none has a code for it.
//!
//! They stand where a gateway's code stands, so no outcome table of a gateway lists one. They are
//! no [`crate::reason::ReasonCode`]: of those the state machine makes something, of these a person.

use std::fmt;

/// A code of payrun's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnCode {
    /// More would be given back than was paid.
    ExceedsPayment,
    /// The refunds of one batch would together give back more than was paid.
    ExceedsPaymentTogether,
    /// The gateway has named two amounts for one payment.
    TwoAmountsPaid,
    /// The payment was in another currency.
    OtherCurrency,
    /// Two numbers are of two payments.
    OtherPayment,
    /// The row says that another amount was paid.
    OtherAmountPaid,
    /// The gateway names no amount of the payment.
    NoAmountPaid,
    /// The gateway names no order number of the payment.
    NoOrderNumber,
    /// Our own item of that number charged nobody.
    NotPaid,
    /// The customs have accepted what was filed before.
    FiledBefore,
    /// The customs have not decided on what was filed before.
    FilingUnderWay,
    /// A reconciliation found no difference that is open.
    Matched,
    /// A reconciliation found no difference that is new.
    Known,
    /// A reconciliation found new differences.
    Different,
    /// A statement is not in the ledger yet.
    NoStatement,
    /// The statement that came may lack lines.
    StatementIncomplete,
    /// The file that came cannot be read.
    FileUnreadable,
    /// Another file or statement is kept already.
    FileChanged,
    /// What came could not be kept on this side.
    NotKept,
    /// What a row asks of payrun itself cannot be done.
    BadInput,
    /// Nothing left this machine, and it is tried again.
    NotSent,
    /// Nothing left this machine, and nothing can.
    Unsendable,
}

impl OwnCode {
    /// Every code.
    pub const ALL: [Self; 22] = [
        Self::ExceedsPayment,
        Self::ExceedsPaymentTogether,
        Self::TwoAmountsPaid,
        Self::OtherCurrency,
        Self::OtherPayment,
        Self::OtherAmountPaid,
        Self::NoAmountPaid,
        Self::NoOrderNumber,
        Self::NotPaid,
        Self::FiledBefore,
        Self::FilingUnderWay,
        Self::Matched,
        Self::Known,
        Self::Different,
        Self::NoStatement,
        Self::StatementIncomplete,
        Self::FileUnreadable,
        Self::FileChanged,
        Self::NotKept,
        Self::BadInput,
        Self::NotSent,
        Self::Unsendable,
    ];

    /// As the ledger, the job kinds and the API spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExceedsPayment => "EXCEEDS_PAYMENT",
            Self::ExceedsPaymentTogether => "EXCEEDS_PAYMENT_TOGETHER",
            Self::TwoAmountsPaid => "TWO_AMOUNTS_PAID",
            Self::OtherCurrency => "OTHER_CURRENCY",
            Self::OtherPayment => "OTHER_PAYMENT",
            Self::OtherAmountPaid => "OTHER_AMOUNT_PAID",
            Self::NoAmountPaid => "NO_AMOUNT_PAID",
            Self::NoOrderNumber => "NO_ORDER_NUMBER",
            Self::NotPaid => "NOT_PAID",
            Self::FiledBefore => "FILED_BEFORE",
            Self::FilingUnderWay => "FILING_UNDER_WAY",
            Self::Matched => "MATCHED",
            Self::Known => "KNOWN",
            Self::Different => "DIFFERENT",
            Self::NoStatement => "NO_STATEMENT",
            Self::StatementIncomplete => "STATEMENT_INCOMPLETE",
            Self::FileUnreadable => "FILE_UNREADABLE",
            Self::FileChanged => "FILE_CHANGED",
            Self::NotKept => "NOT_KEPT",
            Self::BadInput => "BAD_INPUT",
            Self::NotSent => "not_sent",
            Self::Unsendable => "unsendable",
        }
    }

    /// The code of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// What it says and what to do, in words that name payrun: no gateway said it.
    pub fn explained(self) -> String {
        let advice = self.advice().map(|advice| format!("; {advice}"));
        format!(
            "payrun itself: {}{}",
            self.meaning(),
            advice.unwrap_or_default()
        )
    }

    /// What it says, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ExceedsPayment => {
                "with it the refunds of the payment would be above what was paid"
            }
            Self::ExceedsPaymentTogether => {
                "the rows of the batch would together give back more than was paid"
            }
            Self::TwoAmountsPaid => "the gateway has named two amounts for the same payment",
            Self::OtherCurrency => "the payment was in another currency than the row",
            Self::OtherPayment => "the numbers of the payment are those of two payments",
            Self::OtherAmountPaid => "the row says that another amount was paid than the gateway",
            Self::NoAmountPaid => "the gateway's answer about the payment names no amount",
            Self::NoOrderNumber => "the gateway's answer about the payment names no order number",
            Self::NotPaid => "our own item of that number charged nobody",
            Self::FiledBefore => "the customs have accepted what was filed before",
            Self::FilingUnderWay => "the customs have not decided on what was filed before",
            Self::Matched => "our items and the statement lines agree",
            Self::Known => "every difference was found before, and some are still open",
            Self::Different => "items and statement lines differ where they did not before",
            Self::NoStatement => "a day's statement is not in the ledger yet",
            Self::StatementIncomplete => {
                "the statement that was fetched may lack lines, and nothing of it was kept"
            }
            Self::FileUnreadable => {
                "the file that was fetched cannot be read, and nothing of it was kept"
            }
            Self::FileChanged => {
                "another file was kept before; it stays, and the new one was not kept"
            }
            Self::NotKept => "what was fetched could not be kept on this side",
            Self::BadInput => "the row asks for what cannot be done",
            Self::NotSent => "something was missing on this side, and nothing left this machine",
            Self::Unsendable => "no call can be made of the item, and nothing left this machine",
        }
    }

    /// What a person may do about it; none where there is nothing to be done.
    pub const fn advice(self) -> Option<&'static str> {
        match self {
            Self::ExceedsPayment => Some(
                "compare the payment's other refunds; what is left of it can be refunded by a row with a key of its own",
            ),
            Self::ExceedsPaymentTogether => {
                Some("reject the batch and plan it again without the rows that are not meant")
            }
            Self::TwoAmountsPaid => {
                Some("find out which is so, then `payrun retry` asks the gateway again")
            }
            Self::OtherCurrency | Self::OtherPayment | Self::OtherAmountPaid => {
                Some("correct the row, and plan it with a key of its own")
            }
            Self::NoAmountPaid | Self::NoOrderNumber => {
                Some("`payrun retry` asks the gateway again")
            }
            Self::NotPaid => Some("look whether the row names the payment that is meant"),
            Self::FiledBefore => Some("to change it, use the job kind redeclare with way: modify"),
            Self::Different => Some("`payrun differences list` lists what is open"),
            Self::NoStatement => Some("run the job that fetches statements"),
            Self::StatementIncomplete => Some("`payrun retry` fetches it again"),
            Self::FileUnreadable => {
                Some("ask the gateway for a whole file; `payrun retry` fetches it again")
            }
            Self::FileChanged => Some("ask the gateway which of the two is right"),
            Self::BadInput => Some("correct the row"),
            Self::NotSent | Self::Unsendable | Self::NotKept => {
                Some("mend what the reason of the item says, then `payrun retry`")
            }
            Self::FilingUnderWay | Self::Matched | Self::Known => None,
        }
    }
}

impl fmt::Display for OwnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_one_word_and_a_meaning_without_a_full_stop() {
        for code in OwnCode::ALL {
            assert_eq!(OwnCode::parse(code.as_str()), Some(code));
            for text in [Some(code.meaning()), code.advice()].into_iter().flatten() {
                assert!(!text.is_empty() && !text.ends_with('.'), "{code}: {text}");
            }
        }
        let code = OwnCode::BadInput;
        assert_eq!(code.to_string(), code.as_str());
        assert_eq!(code.meaning(), "the row asks for what cannot be done");
        assert_eq!(code.advice(), Some("correct the row"));
        assert_eq!(OwnCode::Matched.advice(), None);
        let explained = code.explained();
        assert!(
            explained.contains(code.meaning()) && explained.ends_with("correct the row"),
            "{explained}"
        );
        assert_eq!(OwnCode::parse("exceeds_payment"), None);
        assert_eq!(OwnCode::parse(""), None);
    }
}
